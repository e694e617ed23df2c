"""The YAML of recipes: read as people mean it, mistakes with their line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hf_mtl.recipe._mistakes import RecipeError

__all__ = ["apply_overrides", "dump_yaml", "parse_yaml", "read_yaml"]

#: The longest recipe, in characters, and the most values that it may hold with its aliases written out.
_LONGEST, _MOST_VALUES = 1_000_000, 200_000

_FLOAT = re.compile(
    r"^(?:[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_PLAIN_VALUES = (
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("merge", re.compile(r"^<<$"), ["<"]),
)


class _Loader(yaml.SafeLoader):
    """Safe YAML with the plain values of YAML 1.2.

    PyYAML speaks YAML 1.1, in which ``1e-4`` is a string, ``no`` and ``on`` are booleans, ``010`` is eight and a date
    is no string: a learning rate and a list of labels would all be read wrong.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own declaration

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        #: Mappings whose keys may be numbers: values of a column that are given names.
        self.names_values: set[int] = set()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            line = f"line {key.start_mark.line + 1}"
            is_number = key.tag.rpartition(":")[2] in ("int", "float", "bool")
            if key.tag != "tag:yaml.org,2002:str" and not (is_number and id(node) in self.names_values):
                found = getattr(key, "value", "a list or mapping")
                raise RecipeError(line, f"the key {str(found)[:80]} is not text. Put it in quotes.")
            if key.value in seen:
                raise RecipeError(line, f"the key {key.value!r} occurs twice. Keep one of them.")
            seen.add(key.value)
            if key.value == "labels":
                self.names_values.add(id(value))
        return super().construct_mapping(node, deep=deep)

    def checked_node(self) -> yaml.Node | None:
        """Return the document's node.

        Raises:
            RecipeError: If its aliases expand to more than a recipe may hold, or it holds itself.
        """
        node: yaml.Node | None = self.get_single_node()
        if node is not None and _count(node, {}) > _MOST_VALUES:
            raise RecipeError(
                "", f"its aliases (*name) expand to more than {_MOST_VALUES:,} values. Write out what is meant."
            )
        return node


def _count(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for when its aliases are written out."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise RecipeError(
                f"line {node.start_mark.line + 1}",
                "an alias (*name) lies in what it stands for. Write out what is meant.",
            )
        return found
    known[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [item for pair in node.value for item in pair]
    total = 1 + sum(_count(child, known) for child in children)
    known[id(node)] = total
    return total


class _Dumper(yaml.SafeDumper):
    """Quotes strings that either dialect would not read back as strings."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # Single-quoted, PyYAML writes the rarer line breaks of Unicode bare and reads them back as spaces.
        style = '"' if re.search("[\x85\u2028\u2029]", text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)

for _name, _pattern, _first in _PLAIN_VALUES:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse_yaml(text: str, names_values: bool = False) -> Any:
    """Parse YAML.

    Args:
        text: The document.
        names_values: Whether it is a mapping from values of a column to their names, whose keys may be numbers.

    Raises:
        RecipeError: If it is not YAML, or a key occurs twice; the message names the line.

    >>> parse_yaml("{rate: 1e-4, labels: [no, yes]}")
    {'rate': 0.0001, 'labels': ['no', 'yes']}
    """
    if len(text) > _LONGEST:
        raise RecipeError("", f"more than {_LONGEST:,} characters, which no recipe has. Is it the right file?")
    try:
        loader = _Loader(text)  # a subclass of SafeLoader
        try:
            node = loader.checked_node()
            loader.names_values.update([id(node)] * names_values)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise RecipeError("", "not valid YAML: it is nested too deeply.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(where, f"not valid YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise RecipeError("", f"not valid YAML: {' '.join(str(error).split())}.") from error
    except RecipeError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise RecipeError("", f"a value cannot be read: {error}. Is it meant as text? Put it in quotes.") from error


def read_yaml(path: Path, expected: str = "a recipe is a mapping with the keys encoder and datasets") -> dict[str, Any]:
    """Read a file that holds one mapping.

    Args:
        path: The file.
        expected: What the error says where the file holds something else.

    Raises:
        RecipeError: If the file cannot be read, or holds something else.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST + 1)
    except FileNotFoundError:
        raise RecipeError("", "no such file.") from None
    except UnicodeDecodeError as error:
        raise RecipeError("", f"not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise RecipeError("", f"cannot be read: {error.strerror}.") from None
    values = parse_yaml(text)
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise RecipeError("", f"{expected}; found {found}.")
    return values


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write a mapping as YAML, keys in their order."""
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a recipe's values with dotted overrides put in.

    Args:
        values: The recipe; it is not changed.
        overrides: Each ``dotted.key=value``, the value in YAML.

    Raises:
        RecipeError: If an override is not of this form, or leads through something that has no keys.

    >>> apply_overrides({"training": {"seed": 1}}, ["training.learning_rate=1e-4"])
    {'training': {'seed': 1, 'learning_rate': 0.0001}}
    """
    result = dict(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, last = key.split(".")
        if not equals or not all(parent.strip() for parent in (*parents, last)):
            raise RecipeError(
                "", "not of the form key=value, such as training.learning_rate=1e-4.", f"override {override!r}"
            )
        here = result
        for i, parent in enumerate(parents):
            inner = here.get(parent)
            if inner is not None and not isinstance(inner, dict):
                found = ".".join(parents[: i + 1])
                raise RecipeError("", f"{found} is {inner!r}, which has no keys.", f"override {override!r}")
            # Copied on the way down: the caller's mappings stay as they are.
            here[parent] = dict(inner or {})
            here = here[parent]
        try:
            here[last] = parse_yaml(text, names_values=last == "labels")
        except RecipeError as error:
            raise RecipeError("", error.message, f"override {override!r}") from None
    return result
