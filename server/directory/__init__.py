"""The directory: tenants with their users, licences and service numbers."""

from server.directory.reading import read_directory, read_tenant
from server.directory.snapshot import Directory

__all__ = ["Directory", "read_directory", "read_tenant"]
