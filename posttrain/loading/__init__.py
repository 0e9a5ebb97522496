"""Loading a causal language model so that it is the one its files describe, or not at all."""
