"""A cheap scorer decides which documents the costly one must see, at a recall that is measured on the corpus itself.
Only the step of that name imports it.
"""
