"""The fields of `transformers.TrainingArguments` and their types, read from its source: its import takes seconds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import Any

from hf_mtl.arguments._kinds import kinds_of_fields

__all__ = ["kinds_of_stock_fields"]

_PLAIN = {kind.__name__: kind for kind in (bool, int, float, str, list, dict)}


@cache
def kinds_of_stock_fields() -> dict[str, tuple[Any, ...]]:
    """Return for each field the types that it takes, as `kinds_of_fields` does of the class itself.

    Enumerations have the members of Transformers' own; of other classes the name alone is known.
    """
    spec = find_spec("transformers")
    try:
        found = _fields(Path(str(spec and spec.origin)).parent)
    except (OSError, ValueError, LookupError, SyntaxError):  # no sources, or a class of another shape
        from transformers import TrainingArguments

        found = kinds_of_fields(TrainingArguments)
    return found


def _fields(folder: Path) -> dict[str, tuple[Any, ...]]:
    module = _parsed(folder / "training_args.py")
    [definition] = _classes(module, "TrainingArguments")
    fields = [node for node in definition.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {
        ast.unparse(field.target): tuple(_kinds(field.annotation, folder, module))
        for field in fields
        if "init=False" not in ast.unparse(field)
    }


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _classes(module: ast.Module, name: str) -> list[ast.ClassDef]:
    return [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name]


def _kinds(node: ast.expr, folder: Path, module: ast.Module) -> Iterator[Any]:
    """Yield the plain types that an annotation is made of."""
    match node:
        case ast.BinOp():
            yield from _kinds(node.left, folder, module)
            yield from _kinds(node.right, folder, module)
        case ast.Constant(value=str(text)):
            yield from _kinds(ast.parse(text, mode="eval").body, folder, module)
        case ast.Constant():
            yield NoneType if node.value is None else node.value
        case ast.Subscript(value=ast.Name(id="Literal")):
            yield from _kinds(node.slice, folder, module)
        case ast.Subscript(value=ast.Name(id=name)) if name in _PLAIN:
            yield _PLAIN[name]
        case ast.Name():
            yield _PLAIN.get(node.id) or _enumeration(node.id, folder, module)
        case _:
            raise LookupError(f"an annotation of another kind: {ast.unparse(node)}")


def _enumeration(name: str, folder: Path, module: ast.Module) -> type:
    """Return an enumeration that a module defines or imports from one beside it; else a class without members."""
    found = _classes(module, name)
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and name in (alias.name for alias in node.names):
            found += _classes(_parsed(folder / f"{(node.module or '').replace('.', '/')}.py"), name)
    members = {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for definition in found
        for node in definition.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    kind: type = Enum(name, members) if members else type(name, (), {})  # type: ignore[assignment]  # mypy: a member
    return kind
