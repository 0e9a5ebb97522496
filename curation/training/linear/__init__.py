"""`kind: linear`: a linear classifier of words and letter runs, trained on labelled texts and calibrated. Only the
front door starts it.
"""
