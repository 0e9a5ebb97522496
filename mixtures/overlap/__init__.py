"""How much of a mixture stands in it more than once: between components, between training and held-out documents.
Building measures by it, cards tell it.
"""
