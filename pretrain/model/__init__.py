"""OLMo in Megatron-core: architecture, layers, attention, the head, and weights to and from the Hugging Face layout.
Training, planning and `pretrain.huggingface` import it.
"""
