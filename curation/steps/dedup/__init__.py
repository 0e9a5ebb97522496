"""Steps that see a whole corpus, or all of them, and let the first of equal or nearly equal documents stay. Imported by
the table of `curation.steps` only.
"""
