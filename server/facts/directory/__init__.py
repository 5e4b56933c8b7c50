"""The directory: tenants with their users, licences and service numbers."""

from server.facts.directory.reading import Directory, DirectoryFiles, read_directory, read_tenant

__all__ = ["Directory", "DirectoryFiles", "read_directory", "read_tenant"]
