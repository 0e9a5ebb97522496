"""Steps that keep or remove a document by rules over its text and scores: published quality rules under the name of
their paper, regular expressions, `where:`. Imported by the table of `curation.steps` only.
"""
