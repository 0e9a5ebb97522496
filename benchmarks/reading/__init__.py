"""Benchmarks of reading and of memory: many files, large ones, ids, checksums."""
