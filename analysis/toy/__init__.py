"""`kind: toy`: the Markov experiment of Li et al. 2025 (arXiv 2505.04741), figure 3."""
