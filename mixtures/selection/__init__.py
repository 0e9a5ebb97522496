"""What each component takes: shares of risk, prefixes, ids, and the decisions that a specification comes to. Copies no
token; planning, overlap and building import it.
"""
