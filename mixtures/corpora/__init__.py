"""Tagged corpora as a mixture reads them: columns without a Python object a document, texts, where they came from, and
the seeded order in which documents are taken. Imports no specification; every room that selects imports it.
"""
