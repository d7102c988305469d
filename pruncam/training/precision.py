"""The precision of a training: float32, or bfloat16 where the hardware computes in it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from pruncam._core.validation import check_choice, short_repr

PRECISIONS = ("auto", "float32", "bfloat16")


def resolve_precision(precision: str, device: torch.device | str) -> str:
    """Return the precision that `fit` uses on a device: "float32" or "bfloat16".

    "auto" is bfloat16 on CUDA devices of compute capability 8 or higher and on CPUs with AVX-512
    BF16 or AMX, which multiply in it, and float32 elsewhere: emulated bfloat16 is slower. Raises
    ValueError if the precision or the device is unknown.
    """
    check_choice("precision", precision, PRECISIONS)
    try:
        device = torch.device(device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"device must be the name of a device, such as 'cpu', got {short_repr(device)}"
        ) from None
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the hardware multiplies in bfloat16, and PyTorch uses it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # PyTorch can be limited to an older instruction set, by ATEN_CPU_CAPABILITY.
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # a recent function
    features: Mapping[str, Any] = capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """Return the context in which a forward pass runs in this precision.

    In bfloat16, convolutions and FC layers compute in bfloat16; weights, their updates and the
    loss stay in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
