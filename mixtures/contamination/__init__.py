"""Evaluation sets that a mixture must not contain: which documents hold their n-grams, and what is done about it."""
