"""What a mixture's YAML may say, a module a section. Light to import: `validate` and `plan` come through here."""
