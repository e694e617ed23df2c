"""Whether a checkpoint is whole: judged by its files' heads and ends, without reading weights."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

__all__ = [
    "AVERAGING",
    "PARAMETER_NAMES",
    "STREAMS",
    "TRAINED_ON",
    "checkpoints_in",
    "fault_of",
    "flush",
    "flush_names",
]

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_STATE = "trainer_state.json"
#: What the checkpoint was trained on.
TRAINED_ON = "trained_on.json"
#: The names of the optimizer's parameters, by group.
PARAMETER_NAMES = "parameter_names.json"
#: Averages of the weights, and the weights that training continues with.
AVERAGING = "averaging.safetensors"
#: Where the streams of a training are read from again.
STREAMS = "streams.json"
_JSON = (_STATE, "config.json", "balancer.json", TRAINED_ON, PARAMETER_NAMES, STREAMS)
# Transformers' own mark of a save before preemption (enable_jit_checkpoint) that was not finished.
_SENTINEL = "checkpoint-is-incomplete.txt"


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """Return the folders named ``checkpoint-<step>``, by their step.

    Args:
        folder: Where a trainer saves; it need not exist.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    named = ((_CHECKPOINT.fullmatch(path.name), path) for path in found)
    return {int(match[1]): path for match, path in named if match and path.is_dir()}


def fault_of(checkpoint: Path) -> str | None:
    """Return what is cut or missing in a checkpoint, whoever wrote it; ``None``: it is whole.

    Bytes that changed within a file are not seen: neither safetensors nor this keeps sums of them.

    Args:
        checkpoint: The checkpoint's folder.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    names = {path.name for path in files if path.parent == checkpoint}
    if _SENTINEL in names:
        return f"{_SENTINEL} says that its writing was interrupted"
    # The trainer's state is what Transformers writes last.
    if _STATE not in names:
        return f"{_STATE} is missing"
    for path in files:
        fault = _fault_of_file(path)
        if fault:
            return f"{path.relative_to(checkpoint)} {fault}"
    if not any(map(_holds_weights, files)):
        return "there are no weights"
    # A checkpoint without both is one of save_only_model. DeepSpeed keeps its optimizer in global_step<N>.
    entries = [path.name for path in checkpoint.iterdir()]
    has_optimizer = any("optimizer" in name or name.startswith("global_step") for name in entries)
    if "scheduler.pt" in names and not has_optimizer:
        return "optimizer.pt is missing"
    if "optimizer.pt" in names and "scheduler.pt" not in names:
        return "scheduler.pt is missing"
    return None


def _holds_weights(path: Path) -> bool:
    is_bin = path.suffix == ".bin" and path.name not in ("training_args.bin", "optimizer.bin")
    is_model = path.suffix == ".safetensors" and path.name != AVERAGING
    return is_bin or is_model or path.suffix == ".distcp" or "model_states" in path.name


def _fault_of_file(path: Path) -> str | None:
    if path.suffix == ".safetensors":
        return _fault_of_safetensors(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        # What torch saves is a zip file, and a zip file's table is at its end.
        return None if zipfile.is_zipfile(path) else "is cut: its end is missing"
    if path.name in _JSON or path.name.endswith(".index.json"):
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            return "is cut: it is not valid JSON"
        if path.name.endswith(".index.json"):
            missing = sorted({s for s in content["weight_map"].values() if not (path.parent / s).is_file()})
            return f"names {missing[0]}, which is missing" if missing else None
    return None


def _fault_of_safetensors(path: Path) -> str | None:
    """Compare a file's size with what its header (8 bytes of length, then JSON) says."""
    found = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if found < 8 or found < 8 + length:
            return f"is cut: {found:,} bytes do not hold its header"
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return "has no readable header"
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    expected = 8 + length + max(ends, default=0)
    return None if found == expected else f"is cut: {found:,} of {expected:,} bytes"


def flush(folder: Path) -> None:
    """Have a folder's files and their names on the disk, so that a power cut after a rename finds them whole.

    Args:
        folder: The folder, with all that lies under it.
    """
    below = list(folder.rglob("*"))
    for path in below:
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    for path in [*below, folder]:
        if path.is_dir():
            flush_names(path)


def flush_names(folder: Path) -> None:
    """Have the names that a folder holds on the disk: what was renamed into it, say.

    Args:
        folder: The folder.
    """
    if os.name == "posix":  # elsewhere folders cannot be opened
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
