"""`kind: tagger`: a token tagger trained from labelled spans, or distilled from another tagger."""
