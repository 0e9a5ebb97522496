"""Ground floor: typed YAML, errors, artifacts, fingerprints, atomic files, progress. No machine learning here."""
