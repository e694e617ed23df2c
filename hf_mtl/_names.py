"""Spelling help for error messages, and the name of this version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from hf_mtl_light.names import listed, nearest

__all__ = ["listed", "nearest", "package_version"]


def package_version() -> str:
    """Return the version of this package, or ``"unknown"`` where it runs from plain files."""
    try:
        return version("hf-mtl")
    except PackageNotFoundError:
        return "unknown"
