"""One seed drives everything: every random stream is derived from it by name."""

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called `names`; streams with different names are independent of each other.

    The stream of one step does not depend on whether another step ran before it, so a resumed run draws what an
    unbroken one draws.
    """
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator for the stream called `names`."""
    return torch.Generator().manual_seed(derive(seed, *names))
