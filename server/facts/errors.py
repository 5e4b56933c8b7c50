"""What can go wrong with the directory as who asks sees it."""

from __future__ import annotations


class DirectoryTrouble(Exception):
    """Anything that a change of the directory, or a look at it, can fail with."""


class DirectoryInFiles(DirectoryTrouble):
    """Tenants come from files, which nobody changes but who edits them."""

    def __init__(self) -> None:
        super().__init__(
            'Tenants come from files here: edit those, or set directory_source = "archive".'
        )


class DirectoryUnreadable(DirectoryTrouble):
    """The files cannot be read as they are."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The files of the directory cannot be read: {why}. `python -m server check-data` "
            "tells all that is wrong in them."
        )


class ResourceUnknown(DirectoryTrouble):
    """The tenant has no such user, account or number."""

    def __init__(self, resource: str) -> None:
        super().__init__(f"There is no {resource}.")
        self.resource = resource


class ResourceExists(DirectoryTrouble):
    """There is one of this id already."""

    def __init__(self, resource: str) -> None:
        super().__init__(f"There is a {resource} already; to change it, update it.")
        self.resource = resource


class EtagChanged(DirectoryTrouble):
    """Somebody else changed it since it was read."""

    def __init__(self, resource: str) -> None:
        super().__init__(f"The {resource} changed since it was read: read it again.")
        self.resource = resource


class ResourceInUse(DirectoryTrouble):
    """Something else speaks of it."""

    def __init__(self, resource: str, user: str) -> None:
        super().__init__(f"The {resource} is spoken of by the {user}: change that first.")
        self.resource = resource


class TenantInUse(DirectoryTrouble):
    """A tenant may still have running calls."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(
            f"Tenant {tenant_id} is not frozen: set frozen, so that its calls end, then delete it."
        )


class FileInvalid(DirectoryTrouble):
    """A file has mistakes; nothing of it was taken over."""

    def __init__(self, first: str, count: int) -> None:
        more = f" ({count} mistakes in all)" if count > 1 else ""
        super().__init__(f"{first}{more}. Nothing was changed.")
        self.count = count


class DirectoryChanged(DirectoryTrouble):
    """Others kept changing a tenant while a file was compared with it."""

    def __init__(self) -> None:
        super().__init__("Others kept changing the tenant meanwhile: import the file again.")


class ImportRunning(DirectoryTrouble):
    """This process is importing already."""

    def __init__(self) -> None:
        super().__init__("This process is importing a file already: try again when it is done.")


class CatalogueChanged(Exception):
    """The catalogue is another one than was looked at."""

    def __init__(self) -> None:
        super().__init__(
            "The catalogue changed since it was looked at, or somebody is changing it: look again."
        )


class CatalogueReadOnly(Exception):
    """The engine may not write the folder of the catalogue."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"The engine may not write {folder}: ask for the tables and put them there yourself "
            "(`callgate rates import --output FOLDER`), or let it."
        )


class FactsBehind(Exception):
    """The ledger decides by newer facts of this tenant than this process can read."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"The facts of tenant {tenant_id} here are behind those of the ledger.")
        self.tenant_id = tenant_id
