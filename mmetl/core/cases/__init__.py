"""Tests of tasks: given rows in, expected rows out, with no state."""
