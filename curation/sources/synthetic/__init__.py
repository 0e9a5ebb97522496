"""`synthetic:forum`: forum threads made from clean sentences and a grammar of rude clauses, with gold spans. Imported
by `curation.sources.read` only.
"""
