"""Mutated YAML files through `validate` and `plan`: what anybody may hand in gets one answer, and soon."""
