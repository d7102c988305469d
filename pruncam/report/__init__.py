"""Figures, claims held against the papers, and the gallery of all results."""
