"""Which names tasks may have, and how a name becomes the key of a module: of a head, and of its weights in files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from hf_mtl_light.errors import UserError

__all__ = ["INPUT_COLUMNS", "check_task_names", "module_key", "task_of_key"]

#: Columns of a dataset that hold its input.
INPUT_COLUMNS = ("text", "text_pair", "tokens", "choices", "image")

#: Names of the model's inputs, which an exported graph has beside its outputs, named after tasks.
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "pixel_values")
_RESERVED = frozenset({*INPUT_COLUMNS, *_INPUTS})

#: How the key of a name begins that cannot be one itself.
_ENCODED = "task_x3a_"
# torch parts keys at dots; Transformers (5.23) compiles the names of weights as regular expressions when it loads them.
_UNSAFE = re.compile(r"[./()\[\]\\]")
_ESCAPED = re.compile(r"[^A-Za-z0-9_-]|_(?=x)")
_ESCAPE = re.compile(r"_x([0-9a-f]+)_")


@cache
def _of_module_dict() -> frozenset[str]:
    """Return what a module cannot be called; the command line reads tasks without torch."""
    from torch import nn

    return frozenset(dir(nn.ModuleDict()))


def check_task_names(names: Sequence[str]) -> None:
    """Check that names can be those of the tasks of one model: unique, none that of an input.

    Raises:
        ValueError: If a name is taken twice, is no text, or is an input column or an input of the model.
    """
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UserError(f"Task name {name!r} occurs twice. Give each task another name.")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"Task name {name!r}: character {error.start} is half of a surrogate pair, which is no text."
            ) from None
        if "\0" in name:
            raise UserError(f"Task name {name!r} holds a null character, at which many formats end a text.")
        if name in _RESERVED:
            raise UserError(
                f"Task name {name!r} is reserved: it names an input of the model. Choose another, such as "
                f"{name + '_task'!r}."
            )


def module_key(name: str) -> str:
    """Return the key of the module that holds a task's head: the name itself, wherever it can be one.

    Any other name is spelled in letters, digits, ``_`` and ``-``, each other character as ``_x``, its code point in
    hexadecimal digits, ``_``.

    >>> module_key("intent"), module_key("score (0-5)"), module_key("keys")
    ('intent', 'task_x3a_score_x20__x28_0-5_x29_', 'task_x3a_keys')
    """
    is_plain = name == name.strip() and not _UNSAFE.search(name) and not name.startswith(_ENCODED)
    if is_plain and name not in _of_module_dict():
        return name
    return _ENCODED + _ESCAPED.sub(lambda match: f"_x{ord(match.group()):x}_", name)


def task_of_key(key: str) -> str:
    """Return the name of the task whose `module_key` a key is.

    >>> task_of_key("intent"), task_of_key("task_x3a_score_x20__x28_0-5_x29_")
    ('intent', 'score (0-5)')
    """
    if not key.startswith(_ENCODED):
        return key
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), key.removeprefix(_ENCODED))
