"""Transforms that lead from one modality to another."""
