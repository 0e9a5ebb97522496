"""What a curation writes and other floors read: the tagged corpus, its records, the risk of its sources, and
expressions over them (`where:`). Lowest room of this floor; everything may import it.
"""
