"""Transforms that save writing SQL: each is made into one query, which runs as that of `tabular.sql` does."""

from __future__ import annotations
