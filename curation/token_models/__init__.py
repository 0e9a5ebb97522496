"""Trained models that score the words of a text: what the taggers `lexical` and `transformer` load. Taggers and what
trains them import it.
"""
