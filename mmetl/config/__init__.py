"""From YAML text to typed data: schema, loader, interpolation, positions for errors."""
