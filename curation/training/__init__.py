"""Kinds that train a model or a curve from labelled or scored texts, a package each. Nothing but the front door
starts them.
"""
