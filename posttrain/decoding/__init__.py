"""The decoding loop: its state, its cache, how a token is drawn. Steering methods hook into it, and those that draw
tokens themselves import it.
"""
