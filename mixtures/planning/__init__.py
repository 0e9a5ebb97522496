"""What a mixture will hold and take, before it is built. Reads manifests and counts, never text; `mixtures.stage` and
the plan of a training import it.
"""
