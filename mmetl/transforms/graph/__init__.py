"""Transforms that make graphs, and that look into them."""
