"""`kind: distillation`: a linear scorer that imitates a costly one; made for the gate of a cascade. Only the front door
starts it.
"""
