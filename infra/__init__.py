"""Ground floor: typed YAML, errors, artifacts, fingerprints, atomic files, jobs, progress. No machine learning here;
imports no other floor, and every floor imports it.
"""
