"""Proposing mixtures: design proxy runs, or fit response models to their results and solve for the best mixture. Only
the front door and studies import it.
"""
