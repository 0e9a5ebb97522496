"""What a run says of itself: sums over batches, lines of the log, TensorBoard and W&B, the summary. Training writes it,
reports read it.
"""
