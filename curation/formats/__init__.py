"""Formats of text files: bytes, lines, JSON, Dolma, and what is wrong with a file. Knows nothing of sources, steps or
scorers; sources import it.
"""
