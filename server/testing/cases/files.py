"""Reading files of cases: every mistake told with its line, nothing played with any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from policy.facts import CallKind
from server.facts.files.problems import Problems
from server.facts.files.section import read_section
from server.facts.files.table import read_text
from server.facts.files.toml_lines import Path as KeyPath
from server.facts.files.toml_lines import line_of, parse_toml
from server.testing.cases.answers import EXPECTABLE, Words

_MS = 1_000
_SPAN = re.compile(r"(\d{1,9})(s|min|h|d)")
_SPAN_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
MOST_CASES = 100_000

Money = Annotated[
    str,
    msgspec.Meta(pattern=r"^\d{1,9}\.\d{2,6}$", description='an amount in text, such as "50.00"'),
]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400, description="whole seconds, up to 86400")]
Span = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{1,9}(s|min|h|d)$", description='a span, such as "75s", "5min", "2h" or "31d"'
    ),
]


class CallWords(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A question about a call. Steps are about the same call where `call` is the same."""

    call: str = "call"
    gateway: str = "gateway"
    kind: CallKind = CallKind.USER
    # The user, the organizer, or the resource accounts, the first one first.
    by: str | list[str] = ""
    to: str = ""
    from_: str = msgspec.field(default="", name="from")
    location: str = ""
    seconds: Seconds | None = None
    emergency_callback: bool = False
    dry_run: bool = False


class ReportWords(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Use so far, and how much more is wished for."""

    call: str = "call"
    gateway: str = "gateway"
    used: Seconds = 0
    seconds: Seconds | None = None


class EndWords(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The use of a call that is over."""

    call: str = "call"
    gateway: str = "gateway"
    used: Seconds = 0


class ReleaseWords(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A call that nobody answered."""

    call: str = "call"
    gateway: str = "gateway"


class BalanceWords(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The money of the case's tenant."""


Asked = CallWords | ReportWords | EndWords | ReleaseWords | BalanceWords


class _StepSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    after: Span = "0s"
    authorize: CallWords | None = None
    extend: ReportWords | None = None
    settle: EndWords | None = None
    release: ReleaseWords | None = None
    balance: BalanceWords | None = None
    expect: dict[str, Any] = {}


class _CaseSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    step: list[dict[str, Any]]
    tenant: str = ""
    at: datetime | None = None
    balance: Money | None = None
    used: dict[str, Annotated[int, msgspec.Meta(ge=1, description="whole minutes")]] = {}
    facts: dict[str, Any] = {}


class _FileSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    case: list[dict[str, Any]]
    tenant: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, and what is to come of it. `verb` is the word it was written with."""

    line: int
    after_ms: int
    verb: str
    asked: Asked
    expected: Words


@dataclass(frozen=True, slots=True)
class Case:
    """One case: a world, and what happens in it.

    `at_ms` is None for now. `facts` are laid over the tenant's file; `used` are minutes by
    "pool/counter", or "pool/counter@month", that were talked before.
    """

    file: Path
    line: int
    name: str
    tenant_id: str
    at_ms: int | None
    facts: Mapping[str, Any]
    used: Mapping[str, int]
    steps: tuple[Step, ...]

    @property
    def needs_own_world(self) -> bool:
        """Whether it cannot be asked of an engine whose clock and facts are what they are."""
        waits = any(step.after_ms for step in self.steps)
        return bool(self.facts or self.used or waits or self.at_ms is not None)


def read_cases(paths: Sequence[Path]) -> list[Case]:
    """Read files, and the `.toml` files of folders. Raises `InvalidFacts` with every mistake."""
    problems = Problems()
    cases = [case for path in _files(paths, problems) for case in _File(path, problems).cases()]
    problems.raise_if_any()
    return cases


def _files(paths: Sequence[Path], problems: Problems) -> Iterable[Path]:
    for path in paths:
        found = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        if not found:
            problems.add(path, 0, "", "holds no file of cases; they end in .toml")
        yield from found


class _File:
    """One file while it is read."""

    def __init__(self, path: Path, problems: Problems) -> None:
        self._path = path
        self._problems = problems
        self._lines: dict[KeyPath, int] = {}

    def cases(self) -> list[Case]:
        text = read_text(self._path, self._problems)
        found = None if text is None else parse_toml(self._path, text, self._problems)
        if found is None:
            return []
        self._lines = found.lines
        head = self._read(found.values, _FileSection, ())
        if head is None:
            return []
        cases = [self._case(head, case, ("case", place)) for place, case in enumerate(head.case)]
        self._check_names(cases)
        return [case for case in cases if case is not None]

    def _check_names(self, cases: Sequence[Case | None]) -> None:
        seen: dict[str, int] = {}
        for case in cases:
            if case is not None and case.name in seen:
                text = f"is the name of the case on line {seen[case.name]}; give another"
                self._problems.add(self._path, case.line, "name", text)
            if case is not None:
                seen[case.name] = case.line

    def _case(self, head: _FileSection, values: Mapping[str, Any], at: KeyPath) -> Case | None:
        section = self._read(values, _CaseSection, at)
        if section is None:
            return None
        tenant_id = section.tenant or head.tenant
        if not tenant_id:
            self._note((*at, "tenant"), "is missing; give it here or at the head of the file")
        steps = [self._step(step, (*at, "step", place)) for place, step in enumerate(section.step)]
        if not steps:
            self._note((*at, "step"), "holds none; a case without a step tells nothing")
        facts = dict(section.facts)
        if section.balance is not None:
            facts["opening_balance"] = section.balance
        return Case(
            self._path,
            self._line(at),
            section.name,
            tenant_id,
            self._instant(section.at, at) or self._instant(head.at, ()),
            facts,
            section.used,
            tuple(step for step in steps if step is not None),
        )

    def _step(self, values: Mapping[str, Any], at: KeyPath) -> Step | None:
        section = self._read(values, _StepSection, at)
        if section is None:
            return None
        asked = {
            verb: getattr(section, verb)
            for verb in EXPECTABLE
            if getattr(section, verb) is not None
        }
        if len(asked) != 1:
            self._note(at, f"asks {len(asked)} things; give one of {', '.join(EXPECTABLE)}")
            return None
        [(verb, words)] = asked.items()
        for word in section.expect.keys() - EXPECTABLE[verb]:
            known = ", ".join(sorted(EXPECTABLE[verb]))
            self._note((*at, "expect", word), f"is no word about {verb}; known are {known}")
        return Step(self._line(at), _milliseconds(section.after), verb, words, section.expect)

    def _instant(self, at: datetime | None, where: KeyPath) -> int | None:
        if at is None:
            return None
        if at.tzinfo is None:
            self._note((*where, "at"), "has no zone; write a Z behind it for UTC")
            return None
        return int(at.astimezone(UTC).timestamp()) * _MS

    def _read(self, values: Mapping[str, Any], kind: type[Any], at: KeyPath) -> Any:
        def report(name: str, text: str) -> None:
            self._note((*at, name) if name else at, text)

        return read_section(values, kind, report)

    def _note(self, at: KeyPath, text: str) -> None:
        self._problems.add(self._path, self._line(at), ".".join(map(str, at)), text)

    def _line(self, at: KeyPath) -> int:
        return line_of(self._lines, at)


def _milliseconds(span: str) -> int:
    found = _SPAN.fullmatch(span)
    assert found is not None, "the section was read"
    return int(found[1]) * _SPAN_SECONDS[found[2]] * _MS
