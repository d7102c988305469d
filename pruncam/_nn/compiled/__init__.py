"""Code compiled by numba: vectors of eight numbers, and the transforms of wide convolutions."""
