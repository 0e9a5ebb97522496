"""The files of a mixture: Megatron's token files, the risk byte beside each token, long arrays. Lowest room of this
floor; pretraining reads through it too.
"""
