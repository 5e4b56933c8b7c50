"""The directory: tenants with their users, licences and service numbers."""

from server.directory.reading import DirectoryFiles, read_directory, read_tenant
from server.directory.snapshot import Directory

__all__ = ["Directory", "DirectoryFiles", "read_directory", "read_tenant"]
