"""Files that a recipe names: counted from the current directory, or else from the recipe's own folder."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hf_mtl.recipe._mistakes import RecipeError

__all__ = ["encoder_path", "existing_files", "load_arguments", "methods_with_paths", "portable", "portable_load"]

# Builders of `datasets` that read files; of any other path, data_files are names inside a Hub repository.
_FILE_BUILDERS = ("arrow", "csv", "json", "pandas", "parquet", "text", "webdataset", "xml")


def _find(path: str, folder: Path) -> str | None:
    """Return the path of a file, folder or pattern that exists, or ``None``."""
    for candidate in (Path(path).expanduser(), folder / path):
        if candidate.exists() or (glob.has_magic(path) and glob.glob(str(candidate), recursive=True)):
            return str(candidate)
    return None


def _looks_local(path: str) -> bool:
    """Return whether a name cannot be a Hub id: ``name`` or ``owner/name``."""
    return path.startswith((".", "~", os.sep)) or path.count("/") > 1 or "\\" in path


def _existing(path: Any, folder: Path, where: str) -> str:
    if not isinstance(path, str) or not path:
        raise RecipeError(where, f"expected a file name, found {path!r}.")
    if "://" in path:
        return path
    found = _find(path, folder)
    if found is None:
        raise RecipeError(where, f"no file {path!r}, neither here nor in the recipe's folder {str(folder)!r}.")
    return found


def _each(files: Any, change: Callable[[Any], Any]) -> Any:
    """Change every file name of ``data_files``: one, a list, or a mapping of splits to either."""
    if isinstance(files, Mapping):
        return {split: _each(value, change) for split, value in files.items()}
    if isinstance(files, list):
        return [change(value) for value in files]
    return change(files)


def existing_files(paths: list[Any], folder: Path, where: str) -> list[str]:
    """Return the paths of files that exist.

    Args:
        paths: The paths as a recipe names them.
        folder: The recipe's folder.
        where: Dotted path of the list in the recipe.

    Raises:
        RecipeError: If one does not exist.
    """
    return [_existing(path, folder, where) for path in paths]


def load_arguments(load: Mapping[str, Any], folder: Path, where: str) -> dict[str, Any]:
    """Return the arguments of ``load_dataset`` with the paths of local files that exist.

    Args:
        load: The recipe's ``load``.
        folder: The recipe's folder.
        where: Dotted path of ``load`` in the recipe.

    Raises:
        RecipeError: If a file or a folder does not exist.
    """
    result = dict(load)
    path = result["path"]
    if path in _FILE_BUILDERS:
        for key in ("data_files", "data_dir"):
            if result.get(key) is not None:
                result[key] = _each(result[key], partial(_existing, folder=folder, where=f"{where}.{key}"))
        return result
    found = _find(path, folder)
    if found is None and _looks_local(path):
        _existing(path, folder, f"{where}.path")
    result["path"] = found or path
    return result


def methods_with_paths(methods: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return training methods with the paths of the teachers that exist.

    Args:
        methods: The recipe's ``methods``.
        folder: The recipe's folder.
    """

    def found(name: Any) -> Any:
        return (_find(name, folder) or name) if isinstance(name, str) and name else name

    result = {name: dict(options) for name, options in methods.items()}
    for options in result.values():
        if "teachers" in options:
            options["teachers"] = _each(options["teachers"], found)
    return result


def encoder_path(encoder: str, folder: Path, key: str = "encoder") -> str:
    """Return the folder of an encoder or a model, or its Hub id as it is.

    Raises:
        RecipeError: If it is no Hub id and no such folder exists.
    """
    found = _find(encoder, folder)
    if found is None and _looks_local(encoder):
        raise RecipeError(key, f"no folder {encoder!r}, neither here nor in the recipe's folder {str(folder)!r}.")
    return found or encoder


def portable(path: Any, run_folder: Path) -> Any:
    """Return a path as the recipe in a run folder should name it, so that it is found from any directory."""
    if not isinstance(path, str) or os.path.isabs(path) or "://" in path or _find(path, Path()) is None:
        return path
    try:
        return os.path.relpath(Path(path).expanduser(), run_folder)
    except ValueError:  # on another drive
        return str(Path(path).absolute())


def portable_load(load: Mapping[str, Any], run_folder: Path) -> dict[str, Any]:
    """Return `load_arguments` as the recipe in a run folder should write them."""
    result = dict(load)
    if result["path"] not in _FILE_BUILDERS:
        result["path"] = portable(result["path"], run_folder)
        return result
    for key in ("data_files", "data_dir"):
        if result.get(key) is not None:
            result[key] = _each(result[key], lambda name: portable(name, run_folder))
    return result
