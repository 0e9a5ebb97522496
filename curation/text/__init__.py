"""Plain functions over one text: words, sentences, passages, spans, disguised spellings. Imports nothing of this
floor but records.
"""
