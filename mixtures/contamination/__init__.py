"""Evaluation sets that a mixture must not contain: which documents hold their n-grams, and what is done about it. Built
on `mixtures.corpora`; selection, planning and building import it.
"""
