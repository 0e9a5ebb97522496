"""Hugging Face folders of OLMo, written and read: configuration, weights, and models found by their location. Training
and the floors above import it.
"""
