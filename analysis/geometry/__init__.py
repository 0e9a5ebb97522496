"""Directions of features in a model's activations, and how they lie to one another."""
