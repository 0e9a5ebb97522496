"""The loss: what a YAML may say of it, and what it does to a target token of a given risk (SLUNG, arXiv 2505.03052).
Specification and training import it.
"""
