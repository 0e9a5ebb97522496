"""`kind: distillation`: a linear scorer that imitates a costly one; made for the gate of a cascade."""
