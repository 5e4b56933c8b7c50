"""The rules of the house that no linter knows: each takes a file and tells what is wrong where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Rule = Callable[[str, str], Iterator[str]]

# What policy may use besides the standard library.
POLICY_PACKAGES = frozenset({"phonenumbers", "policy"})
POLICY_FORBIDDEN = frozenset({"asyncio", "logging", "os", "random", "time"})

LUA_FUNCTION_MAX_LINES = 40
LUA_HEADER_PARTS = ("KEYS", "ARGV", "reply")

# Put together from pieces, so that this file keeps its own rules.
_UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
_REGISTRY_HOST = re.compile(
    r"py"
    + r"pi\.org|python"
    + r"hosted|registry\.npm"
    + r"js|deb\.deb"
    + r"ian|proxy\.go"
    + r"lang"
    r"|crates\.i" + r"o\b|repo1?\.mav" + r"en"
)
_MACHINE_PATH = re.compile(
    r"(?<![\w.$}~-])/(?:wo" + r"rk|ro" + r"ot|opt/whe" + r"els|tmp/br" + r"ief)\b"
)
# The braces that keep a partition's keys in one slot, whole or at the head of an f-string.
_KEY_TAG = re.compile(r"\{p(?:\d+\}|$)")
_IGNORED_RULE = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type:\s*ignore(?:\[[\w, -]+\])?)"
    r"(?P<reason>.*)$"
)
_WORDS = re.compile(r"[A-Za-z]{3}")
_LUA_CLOCK_OR_CHANCE = re.compile(
    r"math\.random|os\.(?:time|clock|date)|['\"]TIME['\"]", re.IGNORECASE
)
_LUA_FUNCTION = re.compile(r"^(?:local )?function (?P<name>\w+)", re.MULTILINE)
_LUA_REGISTERED = re.compile(
    r"register_function\s*(?:\(\s*['\"]\w+['\"]\s*,\s*|\{[^}]*?callback\s*=\s*)(?P<name>\w+)"
)


def files() -> dict[str, str]:
    """Return the text of each file that is, or is about to be, in the repository, by its path."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others"]
    listed = subprocess.run(
        [*command, "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    texts = {}
    for name in sorted(set(listed.stdout.splitlines())):
        try:
            texts[name] = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # A picture, or a file that is deleted and not yet committed as such.
    return texts


def findings(rule: Rule, texts: dict[str, str]) -> str:
    """Apply a rule to each file and return what it found, a line each."""
    return "\n".join(line for name, text in texts.items() for line in rule(name, text))


def is_generated(name: str) -> bool:
    """Tell whether a tool writes this file."""
    return name.startswith("callgate/v1/") and "_pb2" in name


def nothing_is_left_unfinished(name: str, text: str) -> Iterator[str]:
    """Find notes to do something later: do it now, or write an issue."""
    for line in _lines_with(_UNFINISHED, text):
        yield f"{name}:{line}: a note to finish something later; finish it or take it out"


def no_registry_is_named(name: str, text: str) -> Iterator[str]:
    """Find hosts of package registries: where packages come from is each machine's own setting."""
    for line in _lines_with(_REGISTRY_HOST, text):
        yield f"{name}:{line}: the host of a package registry; leave it to the machine's settings"


def no_machine_is_named(name: str, text: str) -> Iterator[str]:
    """Find paths that exist on one machine only."""
    for line in _lines_with(_MACHINE_PATH, text):
        yield f"{name}:{line}: a path of one machine; say it relative to the repository"


def no_package_hides_another(name: str, text: str) -> Iterator[str]:
    """Find `__init__.py` where it would turn a plain folder into a package of a common name."""
    del text
    if name.startswith(("tests/", "proto/")) and name.endswith("/__init__.py"):
        yield f"{name}: delete it; tests/ and proto/ are plain folders, not packages"


def first_line_says_what_it_is(name: str, text: str) -> Iterator[str]:
    """Find sources whose first line is no comment (of Python's docstrings ruff takes care)."""
    starts = {
        ".lua": ("--", "#!lua"),
        ".proto": ("//",),
        ".toml": ("#",),
        ".yaml": ("#",),
        ".sh": ("#",),
    }
    expected = starts.get(Path(name).suffix)
    if expected and not text.startswith(expected):
        yield f"{name}:1: the first line is to be a comment that says what the file is"


def ignored_rules_have_reasons(name: str, text: str) -> Iterator[str]:
    """Find switched-off rules without a reason on the same line."""
    if not name.endswith(".py") or is_generated(name):
        return
    for number, line in enumerate(text.splitlines(), start=1):
        match = _IGNORED_RULE.search(line)
        if match and not _WORDS.search(match["reason"]):
            yield f"{name}:{number}: say on the same line why the rule is ignored here"


def redis_keys_are_spelled_once(name: str, text: str) -> Iterator[str]:
    """Find keys of the ledger spelled elsewhere than in server/ledger/keys.py."""
    if not name.startswith(("server/", "callgate/", "policy/")) or is_generated(name):
        return
    if name.endswith(".lua"):
        for line in _lines_with(re.compile(r"['\"]\{p"), text):
            yield f"{name}:{line}: a key is spelled here; take it from KEYS"
    if not name.endswith(".py") or name == "server/ledger/keys.py":
        return
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if _KEY_TAG.search(node.value):
            yield f"{name}:{node.lineno}: a Redis key; spell it in server/ledger/keys.py"


def policy_is_pure(name: str, text: str) -> Iterator[str]:
    """Find imports of the policy that are neither pure nor the metadata of numbers."""
    if not name.startswith("policy/") or not name.endswith(".py"):
        return
    allowed = (sys.stdlib_module_names - POLICY_FORBIDDEN) | POLICY_PACKAGES
    for node in ast.walk(ast.parse(text)):
        for module in _imported_modules(node):
            if module.partition(".")[0] not in allowed:
                yield f"{name}: the policy may not import {module}"


def lua_functions_state_their_contract(name: str, text: str) -> Iterator[str]:
    """Find Lua functions that are long, unexplained, or depend on a clock or on chance."""
    if not name.endswith(".lua"):
        return
    for line in _lines_with(_LUA_CLOCK_OR_CHANCE, text):
        yield f"{name}:{line}: a clock or chance of its own; the time is an argument"
    registered = {match["name"] for match in _LUA_REGISTERED.finditer(text)}
    lines = text.splitlines()
    for match in _LUA_FUNCTION.finditer(text):
        start = text.count("\n", 0, match.start())
        function = match["name"]
        length = next((i for i, line in enumerate(lines[start:], 1) if line.startswith("end")), 1)
        if length > LUA_FUNCTION_MAX_LINES:
            yield f"{name}:{start + 1}: {function} has more than {LUA_FUNCTION_MAX_LINES} lines"
        header = _comment_above(lines, start)
        if not header:
            yield f"{name}:{start + 1}: {function} has no comment above it"
        elif function in registered:
            yield from _missing_in_header(f"{name}:{start + 1}: {function}", function, header)


def _imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def _missing_in_header(where: str, function: str, header: list[str]) -> Iterator[str]:
    if not header[0].startswith(f"-- {function}: "):
        yield f"{where}: the header is to begin with '-- {function}: ' and the purpose"
    for part in LUA_HEADER_PARTS:
        if not any(re.match(rf"--\s+{part}\b", line) for line in header):
            yield f"{where}: the header does not tell {part}"


def _comment_above(lines: list[str], start: int) -> list[str]:
    first = start
    while first > 0 and lines[first - 1].startswith("--"):
        first -= 1
    return lines[first:start]


def _lines_with(pattern: re.Pattern[str], text: str) -> Iterator[int]:
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            yield number
