"""A built mixture, opened: its components, and the way back from a token to its document. What pretraining, steering
and reports import.
"""
