"""`kind: study`: the grid of a study as steps, the processes that run them, and the report at the end. Top room of the
house: only the front door imports it.
"""
