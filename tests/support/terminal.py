"""Somebody at a terminal who types `callgate` commands at one engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from click.testing import CliRunner, Result

from callgate.command.commands import callgate


@dataclass
class Terminal:
    """Runs commands in this process; `environment` adds to what each of them sees."""

    address: str
    is_screen: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def type(self, *words: str) -> Result:
        """Run `callgate WORDS` and return its output and exit status."""
        environment = {"CALLGATE_ADDRESS": self.address, **self.environment}
        return CliRunner().invoke(callgate, words, color=self.is_screen, env=environment)
