"""Pretraining: built mixtures in, OLMo models out; Megatron-core with a loss policy by the risk of each token."""
