"""Pretraining: built mixtures in, OLMo models out; Megatron-core with a loss policy by the risk of each token. Imports
`mixtures` and what is below; steering and studies import it.
"""
