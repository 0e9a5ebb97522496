"""Benchmarks of scorers and taggers: how good, how fast, and the texts they are measured on."""
