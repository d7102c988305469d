"""Shared infrastructure: validation, paths, seeds, progress, store, machine, executor."""
