"""Dolma's format: documents, and beside them attribute files with `[start, end, score]` of the same documents.

    documents/PART.json.gz             {"id", "text", "source", "metadata"}
    attributes/FOLDER/PART.json.gz     {"id", "attributes": {KEY: [[start, end, score], …]}}

An attribute file has the lines of its document file in the same order. Offsets are Unicode code points; an attribute of
a whole document is one span over all of it.
"""
