"""`kind: tagger`: a token tagger trained from labelled spans, or distilled from another tagger. Only the front door
starts it.
"""
