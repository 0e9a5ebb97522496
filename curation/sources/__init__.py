"""Where documents come from: files, the hub, wheels, synthetic text; which parts a source has, what versions they are,
how they are read, and how a record becomes a document. Built on `curation.formats`; other floors import it for prompts
and labelled texts.
"""
