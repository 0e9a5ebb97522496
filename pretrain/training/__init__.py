"""The loop: a trainer, an optimizer, checkpoints, evaluation, and the model handed over at the end. Imports every
other room of this floor; only `pretrain.stage` and `pretrain.processes` start it.
"""
