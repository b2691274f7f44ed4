"""Checks of tables: compiled to one query, evaluated, told."""
