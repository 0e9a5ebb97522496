"""`kind: calibration`: isotonic curves that bring a scorer's scores to the scale of stored reference scores. Only the
front door starts it.
"""
