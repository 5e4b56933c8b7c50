"""The RateService: rates looked up, decks imported, usage played."""

from server.services.rates.decks import RateDecks
from server.services.rates.looks import RateLooks

__all__ = ["RateDecks", "RateLooks"]
