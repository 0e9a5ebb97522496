"""What a run says of itself: sums over batches, lines of the log, TensorBoard and W&B, the summary."""
