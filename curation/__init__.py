"""Curation: text of any kind in, tagged corpora out, and the scorers, taggers and models that do it. Imports `infra`
only; every floor above may import its corpora, scorers and sources.
"""
