"""Vectors: texts become vectors, and vectors are looked at."""
