"""Price lists of carriers as they come: read, compared with the rates there are, made a table."""

from server.facts.decks.deck import Deck, DeckFile, DeckOptions, Remark, read_deck
from server.facts.decks.merge import Change, ChangeKind, Merged, merge_deck
from server.facts.decks.places import Places

__all__ = [
    "Change",
    "ChangeKind",
    "Deck",
    "DeckFile",
    "DeckOptions",
    "Merged",
    "Places",
    "Remark",
    "merge_deck",
    "read_deck",
]
