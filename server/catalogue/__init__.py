"""The catalogue: where numbers lead, what they cost, what plans and licences are worth."""

from server.catalogue.reading import CatalogueFiles, read_catalogue, read_tables

__all__ = ["CatalogueFiles", "read_catalogue", "read_tables"]
