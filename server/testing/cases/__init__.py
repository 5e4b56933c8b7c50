"""Rehearsing the rules: an operator's cases as data, asked of the engine's own parts.

`files` reads cases, `questions` turns their words into the contract's questions, `answers` tells
answers in the words that cases expect them in. `stage` answers from files alone, `outside` asks an
engine that runs. `playing` plays and judges, `report`, `junit` and `coverage` tell about it.
"""

from server.testing.cases.command import rehearse

__all__ = ["rehearse"]
