"""What is told of a run: the model card, the page of `hormesis show`, and the way from a training sample back to its
documents. The stage imports it, and training for the card.
"""
