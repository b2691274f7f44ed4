"""Ladybug: a graph in a folder."""
