"""YAML as typed specifications: the file with its lines, `extends:`, models, registries, and one message for every
fault. Imports `infra.files` and `infra.errors` only.
"""
