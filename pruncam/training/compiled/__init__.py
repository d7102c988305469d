"""Compiled training loops: the MNIST network's epochs."""
