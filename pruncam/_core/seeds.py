"""Named random streams, all derived from one seed."""

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream called `names`; different names give independent streams.

    A stream does not depend on the steps that ran before it, so a resumed run draws the same
    numbers as an uninterrupted one.
    """
    text = "/".join(str(name) for name in (seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for the stream called `names`."""
    return torch.Generator().manual_seed(derive(seed, *names))
