"""What differs between versions of the libraries underneath, in one place."""

from __future__ import annotations

import torch
from packaging.version import Version

__all__ = ["cpu_has_fast_bfloat16"]

# torch.cpu.get_capabilities came with 2.11; drop the check when that is the oldest version supported.
_TORCH_TELLS_CPU_CAPABILITIES = Version(torch.__version__) >= Version("2.11")


def cpu_has_fast_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX).

    Without such instructions torch emulates them, slower than float32.
    """
    if not _TORCH_TELLS_CPU_CAPABILITIES:
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
