"""Transformer classifiers: folders of weights, token windows, and engines that compute their logits. Knows scorers by
their options alone; scorers, taggers, token models and what trains them import it.
"""
