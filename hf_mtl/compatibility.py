"""What differs between versions of the libraries underneath, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from packaging.version import Version
from transformers import PreTrainedModel
from transformers import __version__ as transformers_version

__all__ = ["HAS_DECISIONS", "cpu_has_fast_bfloat16", "install_recorders", "packed_product", "varlen_attention"]

# torch.cpu.get_capabilities came with 2.11; drop the check when that is the oldest version supported.
_TORCH_REPORTS_CPU_CAPABILITIES = Version(torch.__version__) >= Version("2.11")


#: ``transformers.decision`` came with 5.23.
HAS_DECISIONS = Version(transformers_version) >= Version("5.23")


def cpu_has_fast_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX).

    Without such instructions torch emulates them, slower than float32.
    """
    if not _TORCH_REPORTS_CPU_CAPABILITIES:
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


# torch.nn.attention.varlen came with 2.10.
_TORCH_HAS_VARLEN_ATTENTION = Version(torch.__version__) >= Version("2.10")


def varlen_attention(query: torch.Tensor) -> Callable[..., Any] | None:
    """Return torch's variable-length flash attention if it takes such queries [N, heads, D], else ``None``.

    It needs a GPU of compute capability 8.0 or later and 16-bit numbers.
    """
    if not (_TORCH_HAS_VARLEN_ATTENTION and query.is_cuda and query.dtype in (torch.float16, torch.bfloat16)):
        return None
    if torch.version.hip or torch.cuda.get_device_capability(query.device) < (8, 0) or query.shape[-1] > 256:
        return None
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn


def packed_product() -> Callable[..., Any] | None:
    """Return oneDNN's product with a packed weight, which torch's own compiler uses; ``None`` where torch lacks it.

    It has no public name. Weights are packed by ``torch.ops.mkldnn._reorder_linear_weight(weight, rows)``.
    """
    if not torch.backends.mkldnn.is_available():
        return None
    names = ("_linear_pointwise", "_reorder_linear_weight")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return None
    found: Callable[..., Any] = torch.ops.mkldnn._linear_pointwise.default
    return found


def install_recorders(encoder: PreTrainedModel) -> None:
    """Install the hooks by which Transformers records the hidden states of an encoder's layers, if it does so by hooks.

    Transformers does it at the first call that asks for them, once for each model object.
    """
    try:
        from transformers.utils.output_capturing import maybe_install_capturing_hooks
    except ImportError:
        return
    maybe_install_capturing_hooks(encoder)
