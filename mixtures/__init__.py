"""Mixtures: tagged corpora in, Megatron token files with a risk twin out; exact to the token, planned before it is
built. Imports `curation` and `infra`; pretraining and studies import it.
"""
