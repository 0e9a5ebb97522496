"""`synthetic:forum`: forum threads made from clean sentences and a grammar of rude clauses, with gold spans.

The text is synthetic and says so in its metadata. It exists because no package registry carries enough real toxic
text for a study that must run with nothing but the registries, and because gold spans test taggers and masks.
"""
