"""Compiled training loops: the MNIST network's epochs, and the transforms of wide convolutions."""
