"""Benchmarks of `kind: swarm`: how well mixtures are ranked, how often intervals hold."""
