"""What is known and kept: the state store, fingerprints, watermarks, parts and manifests."""
