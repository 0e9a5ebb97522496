"""Transformer classifiers: folders of weights, token windows, and engines that compute their logits."""
