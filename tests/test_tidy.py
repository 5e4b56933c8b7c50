"""The tree keeps the house rules that no linter knows, and each rule finds what it is for."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import PurePosixPath

import pytest

import tidiness

RULES = (
    tidiness.nothing_is_left_unfinished,
    tidiness.no_registry_is_named,
    tidiness.no_machine_is_named,
    tidiness.no_package_hides_another,
    tidiness.first_line_says_what_it_is,
    tidiness.ignored_rules_have_reasons,
    tidiness.redis_keys_are_spelled_once,
    tidiness.policy_is_pure,
    tidiness.lua_functions_state_their_contract,
)

GOOD_LUA = """#!lua name=trial
-- reserve: hold the price of a grant, once per request.
--   KEYS   account, answer
--   ARGV   price_micros, now_ms
--   reply  granted_seconds
local function reserve(keys, args)
  return 0
end
redis.register_function('trial_reserve', reserve)
"""

# A path, and a text that the rule is there to find.
FAULTS = (
    (tidiness.nothing_is_left_unfinished, "server/a.py", "# TO" + "DO: later"),
    (
        tidiness.no_registry_is_named,
        "requirements.lock",
        "--index-url https://py" + "pi.org/simple",
    ),
    (tidiness.no_machine_is_named, "docs/a.md", "see /wo" + "rk/main for it"),
    (tidiness.no_machine_is_named, "server/a.py", 'PATH = "/ro' + 'ot/.cache"'),
    (tidiness.no_package_hides_another, "tests/policy/__init__.py", ""),
    (tidiness.first_line_says_what_it_is, "proto/callgate/v1/a.proto", 'syntax = "proto3";'),
    (tidiness.ignored_rules_have_reasons, "server/a.py", "import x  # no" + "qa: F401"),
    (tidiness.ignored_rules_have_reasons, "server/a.py", "x = y  # type: ig" + "nore[arg-type]"),
    (tidiness.redis_keys_are_spelled_once, "server/a.py", 'key = f"{{p{n}}}:account"'),
    (tidiness.redis_keys_are_spelled_once, "server/a.py", 'key = "{p17}:account"'),
    (tidiness.redis_keys_are_spelled_once, "server/ledger/a.lua", "local key = '{p' .. n .. '}'"),
    (tidiness.policy_is_pure, "policy/a.py", "import time"),
    (tidiness.policy_is_pure, "policy/a.py", "from redis.asyncio import Redis"),
    (tidiness.lua_functions_state_their_contract, "a.lua", GOOD_LUA.replace("--   ARGV ", "--")),
    (tidiness.lua_functions_state_their_contract, "a.lua", GOOD_LUA.replace("-- reserve:", "--")),
    (tidiness.lua_functions_state_their_contract, "a.lua", GOOD_LUA.replace("0\n", "0\n\n" * 40)),
    (tidiness.lua_functions_state_their_contract, "a.lua", GOOD_LUA.replace("0", "math.random()")),
    (tidiness.lua_functions_state_their_contract, "a.lua", "local function helper()\nend\n"),
)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return tidiness.files()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: tidiness.Rule, texts: dict[str, str]) -> None:
    found = tidiness.findings(rule, texts)

    assert not found, f"\n{found}"


@pytest.mark.parametrize(("rule", "name", "text"), FAULTS)
def test_the_rule_finds_what_it_is_for(rule: tidiness.Rule, name: str, text: str) -> None:
    found = list(rule(name, text))

    assert len(found) == 1
    assert found[0].startswith(name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_lets_tidy_files_pass(rule: tidiness.Rule) -> None:
    ignored = "import x  # no" + "qa: F401 -- the import is the test"
    tidy = {
        "server/ledger/ledger.lua": GOOD_LUA,
        "server/a.py": f'"""A module."""\n{ignored}\nWHERE = "{{place}}/work"\n',
        "policy/a.py": '"""A module."""\nimport dataclasses\nimport phonenumbers\n',
    }

    assert tidiness.findings(rule, tidy) == ""


def test_names_of_test_files_are_unique(texts: dict[str, str]) -> None:
    paths = [PurePosixPath(name) for name in texts if re.fullmatch(r"tests/.*\.py", name)]
    counts = Counter(path.name for path in paths if path.name != "conftest.py")

    assert [name for name, count in counts.items() if count > 1] == []


def test_every_dependency_is_locked_with_a_hash(texts: dict[str, str]) -> None:
    project = tomllib.loads(texts["pyproject.toml"])
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    wanted = [*project["project"]["dependencies"], *(line for lines in extras for line in lines)]
    wanted += [line for lines in groups for line in lines if isinstance(line, str)]

    locked = re.findall(
        r"^(\S+)==\S.*\\\n    --hash=sha256:", texts["requirements.lock"], re.MULTILINE
    )

    names = {re.split(r"[\[<>=~! ]", line)[0] for line in wanted}
    missing = names - set(locked)
    assert not missing, f"run 'make lock': requirements.lock lacks {', '.join(sorted(missing))}"
