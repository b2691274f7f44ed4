"""The tasks of a pipeline and what they need, drawn."""
