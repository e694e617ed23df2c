"""The modelling code as a model's folder can hold it: flat files that need no hf_mtl.

Transformers loads code that lies beside a model (``trust_remote_code=True``) as sibling modules with ``from .x import
y``. These packages have sub-packages, so their sources are flattened here: ``hf_mtl.heads._base`` becomes
``hf_mtl_heads__base.py``, and each import of a part becomes one of a sibling. There is no second copy to keep.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from hf_mtl._names import package_version
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["AUTO_MAP", "CODE_PREFIX", "flat_modules", "write_code"]

#: How the files' names begin.
CODE_PREFIX = "hf_mtl_"
#: What ``config.json`` says to Transformers' Auto classes.
AUTO_MAP = {
    "AutoConfig": "hf_mtl_configuration.MultiTaskConfig",
    "AutoModel": "hf_mtl_model.MultiTaskModel",
}

#: The packages whose sources are included.
_PACKAGES = ("hf_mtl", "hf_mtl_light")
_IMPORT = re.compile(r"\bfrom\s+hf_mtl(?:_light)?(?P<path>(?:\.\w+)*)\s+import\b")
_HEADER = "# Written by hf_mtl {version} from {module}. Licence: Apache-2.0.\n"


def flat_modules(entry: str = "hf_mtl.model") -> dict[str, str]:
    """Return the sources that a module needs, by the names of flat files.

    Imports within ``try`` are left as they are: what they bring is optional.

    Args:
        entry: The module.

    Raises:
        ValueError: If a source imports a part in a way that has no flat form.

    >>> sources = flat_modules("hf_mtl_light.words")
    >>> list(sources)
    ['hf_mtl_light_words.py']
    """
    sources: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        name = _flat_name(module)
        if name in sources:
            continue
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise UserError(f"{module} has no source to flatten.")
        sources[name], needed = _flatten(Path(spec.origin).read_text(encoding="utf-8"), module)
        waiting.extend(needed)
    return dict(sorted(sources.items()))


def _flat_name(module: str) -> str:
    return f"{module.replace('.', '_')}.py"


def _flatten(source: str, module: str) -> tuple[str, list[str]]:
    """Return a module's flat source and the modules that it imports."""
    lines = source.splitlines(keepends=True)
    needed = []
    for node in _imports(ast.parse(source)):
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            if any(name.partition(".")[0] in _PACKAGES for name in names):
                raise UserError(f"{module}, line {node.lineno}: write 'from {names[0]} import ...', which is flat.")
            continue
        if node.level or (node.module or "").partition(".")[0] not in _PACKAGES:
            continue
        if node.module in _PACKAGES:
            raise UserError(f"{module}, line {node.lineno}: import from the module that defines {names[0]!r}.")
        flat = (node.module or "").replace(".", "_")
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = _IMPORT.sub(f"from .{flat} import", line, count=1)
        needed.append(node.module or "")
    return _HEADER.format(version=package_version(), module=module) + "".join(lines), needed


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Try):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        else:
            yield from _imports(child)


def write_code(folder: str | Path) -> list[str]:
    """Write the modelling code into a model's folder and return the names of the files.

    Args:
        folder: The folder; code of an earlier version in it is removed.
    """
    folder = Path(folder)
    for old in folder.glob(f"{CODE_PREFIX}*.py"):
        old.unlink()
    sources = flat_modules()
    for name, source in sources.items():
        write_text_whole(folder / name, source)
    return list(sources)
