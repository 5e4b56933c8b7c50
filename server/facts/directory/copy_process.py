"""The process that copies the files of the directory into a database, to be listed and looked up.

Started as `python -m server.directory.copy_child DIRECTORY URL`; ends with status 0, or with what
is wrong on its error output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sqlalchemy import create_engine, insert

from server.facts.directory import rows
from server.facts.directory.bodies import head_body, item_rows
from server.facts.directory.rows import TenantRow
from server.facts.directory.tables import (
    DIRECTORY_ITEMS,
    DIRECTORY_LICENCES,
    DIRECTORY_STATE,
    DIRECTORY_TENANTS,
)
from server.facts.directory.tenant_file import TenantFile, read_tenant_file
from server.facts.files.problems import InvalidFacts, Problems

NICENESS = 10
_MS = 1_000
_TABLES = (DIRECTORY_STATE, DIRECTORY_TENANTS, DIRECTORY_ITEMS, DIRECTORY_LICENCES)


def copy_files(folder: Path, url: str) -> None:
    """Copy every tenant of a folder into an empty database. Raises `InvalidFacts`."""
    problems = Problems()
    files = [read_tenant_file(path, problems) for path in sorted(folder.glob("*.toml"))]
    problems.raise_if_any()
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in _TABLES:
            table.create(connection)
        connection.execute(insert(DIRECTORY_STATE), [{"id": 1, "revision": 1}])
        for file in files:
            row = _tenant_row(file)
            rows.put_tenant(connection, row)
            rows.put_items(connection, item_rows(file, row.tenant_id, row.revision))
            rows.move_licences(connection, row.tenant_id, file.assigned())
    engine.dispose()


def _tenant_row(file: TenantFile) -> TenantRow:
    assert file.tenant is not None, "a sound file has a head"
    changed_ms = int(file.path.stat().st_mtime * _MS)
    return TenantRow(
        tenant_id=file.tenant.id,
        revision=1,
        begin_revision=1,
        # So that an etag changes with the file.
        body_revision=changed_ms,
        create_ms=changed_ms,
        update_ms=changed_ms,
        deleted=False,
        body=head_body(file),
    )


def main() -> None:
    """Copy, and end."""
    os.nice(NICENESS)
    try:
        copy_files(Path(sys.argv[1]), sys.argv[2])
    except InvalidFacts as error:
        sys.exit(str(error.problems[0]))


if __name__ == "__main__":
    main()
