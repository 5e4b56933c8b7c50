"""The catalogue: where numbers lead, what they cost, what plans and licences are worth."""

from server.facts.catalogue.rates import warn_of_unrated
from server.facts.catalogue.reading import (
    CatalogueFiles,
    keep_catalogue,
    read_catalogue,
    read_tables,
)

__all__ = ["CatalogueFiles", "keep_catalogue", "read_catalogue", "read_tables", "warn_of_unrated"]
