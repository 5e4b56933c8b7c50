"""Counts how the house is cut: files, fragments, modules with one importer, circles.

Run by `make house`; a circle, or a figure beyond its limit, ends it with status 1. A fragment with
one importer belongs into its importer; a limit goes down when some were joined.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("server", "policy", "callgate")
SHORT_LINES = 30
# A figure of the server -> how much it may be.
LIMITS = {"files": 430, "short files": 15, "modules with one importer": 125}


def main() -> int:
    """Count and print."""
    paths = dict(_modules())
    imports = {name: _imports(name, path, paths) for name, path in paths.items()}
    importers = {name: [by for by, of in imports.items() if name in of] for name in paths}
    served = {name: path for name, path in paths.items() if name.split(".")[0] == "server"}
    short = [path for path in served.values() if _is_short(path)]
    figures = {
        "files": len(served),
        "short files": len(short),
        "modules with one importer": sum(len(importers[name]) == 1 for name in served),
    }
    lines = sum(_lines(path) for part in PARTS for path in _written(part))
    sys.stdout.write(f"lines of {', '.join(PARTS)}: {lines}\n")
    for name, figure in figures.items():
        sys.stdout.write(f"{name}: {figure} (at most {LIMITS[name]})\n")
    circle = _circle(imports)
    sys.stdout.write(f"circle of files: {' -> '.join(circle) or 'none'}\n")
    return int(bool(circle) or any(figure > LIMITS[name] for name, figure in figures.items()))


def _written(part: str) -> Iterator[Path]:
    for path in sorted((ROOT / part).rglob("*")):
        if path.suffix in {".py", ".lua"} and "_pb2" not in path.name:
            yield path


def _modules() -> Iterator[tuple[str, Path]]:
    for part in PARTS:
        for path in _written(part):
            if path.suffix == ".py":
                names = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(names[:-1] if names[-1] == "__init__" else names), path


def _imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Find the modules that a module leans on, wherever in it they are imported."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= deeper & known.keys() or {node.module}
    return (found & known.keys()) - {name}


def _circle(imports: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _is_short(path: Path) -> bool:
    return path.name != "__init__.py" and _lines(path) <= SHORT_LINES


if __name__ == "__main__":
    sys.exit(main())
