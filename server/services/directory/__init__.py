"""The DirectoryService: who may call and what with, read and changed over gRPC."""

from server.directory_service.service import SERVICE, DirectoryService

__all__ = ["SERVICE", "DirectoryService"]
