"""Finished results: `artifact.json`, fingerprints, inputs that are checked, lineage, export and copy. Built on
`infra.files`; stages and every floor above import it.
"""
