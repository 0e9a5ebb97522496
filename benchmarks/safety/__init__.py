"""Benchmarks of what must not happen: kills, damage, workers that die, bytes that differ."""
