"""The command that checks the files of the facts without a server: the same reading, not served."""

from __future__ import annotations

import sys
from pathlib import Path

from server.facts import FactsFolders, InvalidFacts, read_facts
from server.facts.catalogue import warn_of_unrated

EXIT_SOUND = 0
EXIT_WRONG = 1


def check(catalogue_folder: Path, directory_folder: Path) -> int:
    """Print what the folders hold, or every mistake in them; return the status to exit with."""
    try:
        catalogue, tenants = read_facts(FactsFolders(catalogue_folder, directory_folder))
    except InvalidFacts as error:
        count = len(error.problems) + error.more
        sys.stderr.write(f"{error}\n{count} mistake{'s' if count > 1 else ''}; nothing is used.\n")
        return EXIT_WRONG
    rates = ", ".join(f"{currency} {len(rows)}" for currency, rows in catalogue.rates.items())
    users = sum(len(tenant.users) for tenant in tenants.values())
    numbers = sum(len(tenant.service_numbers) for tenant in tenants.values())
    sys.stdout.write(
        f"catalogue {catalogue.version}: {len(catalogue.destinations)} prefixes, rates {rates}\n"
        f"directory: {len(tenants)} tenants, {users} users, {numbers} service numbers\n"
    )
    for warning in warn_of_unrated(catalogue):
        sys.stderr.write(f"warning: {warning}\n")
    return EXIT_SOUND
