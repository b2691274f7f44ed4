"""What computes: one module an engine, and the pure SQL that they share."""
