"""The DirectoryService: who may call and what with, read and changed over gRPC."""

from server.services.directory.service import DirectoryService

__all__ = ["DirectoryService"]
