"""The built-in transforms, one module a modality; named in YAML, imported when first used."""
