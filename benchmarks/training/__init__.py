"""Benchmarks of training and decoding, against peers and limits."""
