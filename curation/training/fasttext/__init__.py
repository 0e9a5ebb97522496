"""`kind: fasttext`: a fastText classifier trained on labelled texts, with what it is worth on texts held out. Only the
front door starts it.
"""
