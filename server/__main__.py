"""The engine's command: serve, or look at what it would serve with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from server.settings import FILE_VARIABLE, Settings
from server.settings.loading import SettingsWrong, load_settings
from server.storage.private import take_from_others

EXIT_WRONG_SETTINGS = 2
SAMPLE_CASES = Path("data/cases")


@click.group(invoke_without_command=True)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    envvar=FILE_VARIABLE,
    help="The TOML file of the settings; docs/settings.md lists them.",
)
@click.pass_context
def main(context: click.Context, settings_file: Path | None) -> None:
    """Answer whether calls may be placed, for how long and who pays. Without a command: serve."""
    context.obj = settings_file
    if context.invoked_subcommand is None:
        _serve(settings_file)


@main.command()
@click.pass_obj
def serve(settings_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    _serve(settings_file)


@main.command(hidden=True)
@click.argument("number", type=int)
@click.option("--channel", type=int, required=True)
@click.option("--listener", type=int)
@click.pass_obj
def worker(settings_file: Path | None, number: int, *, channel: int, listener: int | None) -> None:
    """Serve beside others; the parent of several workers starts it."""
    settings = _load(settings_file)
    from server.app.workers.worker import work

    sys.exit(work(settings, number, channel=channel, listener=listener))


@main.command()
@click.pass_obj
def keeper(settings_file: Path | None) -> None:
    """Keep until SIGTERM or SIGINT: archive, expire, rebuild. Several may run; one works."""
    settings = _load_to_write(settings_file)
    from server.app.keeper import keep

    sys.exit(keep(settings))


@main.command()
@click.option("--repair", is_flag=True, help="Repair what can be, after it was told.")
@click.pass_obj
def doctor(settings_file: Path | None, *, repair: bool) -> None:
    """Compare ledger, archive and reservations; tell what differs and what would mend it."""
    settings = _load_to_write(settings_file)
    from server.app.doctor import examine

    sys.exit(examine(settings, repair=repair))


@main.command()
@click.option("--give-back", is_flag=True, help="Give each back, as a lot of the same expiry.")
@click.pass_obj
def forfeits(settings_file: Path | None, *, give_back: bool) -> None:
    """List credits that were forfeited before their time, because a clock was wrong."""
    settings = _load(settings_file)
    from server.app.doctor import look_for_forfeits

    sys.exit(look_for_forfeits(settings, give_back=give_back))


@main.command()
@click.pass_obj
def info(settings_file: Path | None) -> None:
    """Tell versions, transport, store, and how the Python was built; starts and asks nothing."""
    from server.app.info import info

    click.echo(info(_load(settings_file)), nl=False)


@main.command()
@click.option("--wait", is_flag=True, help="Return when every process serves what it found.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="How long to wait at the most.",
)
@click.option(
    "--losing",
    multiple=True,
    metavar="NAME",
    help="Take over that most of NAME goes, such as users/contoso, prefixes or rates/EUR.",
)
@click.pass_obj
def reload(
    settings_file: Path | None, *, wait: bool, seconds: float, losing: tuple[str, ...]
) -> None:
    """Have every process that shares the store read catalogue and directory anew."""
    settings = _load(settings_file)
    from server.app.reload import reload as ask_to_reload

    sys.exit(ask_to_reload(settings, losing, seconds if wait else None))


@main.command()
@click.option("--charge", default="", metavar="DECISION", help="Debit it, by its decision id.")
@click.option("--waive", default="", metavar="DECISION", help="Forget it, by its decision id.")
@click.pass_obj
def implausible(settings_file: Path | None, *, charge: str, waive: str) -> None:
    """List reported use that cannot have passed and is held apart; charge or waive it."""
    settings = _load(settings_file)
    from server.app.doctor import look_for_implausible

    sys.exit(look_for_implausible(settings, charge=charge, waive=waive))


@main.command("settings")
def show_settings() -> None:
    """Print every setting with its meaning, as in docs/settings.md."""
    from server.settings.page import settings_page

    click.echo(settings_page(), nl=False)


@main.command("new-token")
def new_token() -> None:
    """Make a token for a file of identities: what to give away, and the line that knows it."""
    from server.access.identities import digest_of, new_token

    token = new_token()
    click.echo(f'{token}\n\nsha256 = "{digest_of(token)}"')


@main.command("first-token")
@click.option("--name", default="operator", show_default=True, help="Who has it.")
@click.pass_obj
def first_token(settings_file: Path | None, *, name: str) -> None:
    """Make the first token of an archive that knows nobody: that of an operator."""
    settings = _load_to_write(settings_file)
    from server.app.first_token import make_first_token

    sys.exit(make_first_token(settings, name))


@main.command("check-data")
@click.pass_obj
def check_data(settings_file: Path | None) -> None:
    """Check catalogue and directory as a whole, without serving them."""
    from server.app.check_data import check

    settings = _load(settings_file)
    sys.exit(check(settings.catalogue_folder, settings.directory_folder))


@main.command("test")
@click.argument(
    "files", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="FILES ..."
)
@click.option("--engine", "address", default="", help="Ask the engine at HOST:PORT, as it is.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report that build servers read.",
)
@click.pass_obj
def test(
    settings_file: Path | None, files: tuple[Path, ...], *, address: str, junit: Path | None
) -> None:
    """Play cases of FILES or folders against the rules; without any, those of the sample."""
    from server.testing.cases import rehearse

    settings = _load(settings_file)
    sys.exit(rehearse(settings, files or (SAMPLE_CASES,), address=address, junit=junit))


@main.command()
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Tenants and rates of a test's own, in place of the directory's.",
)
@click.option(
    "--nursery", is_flag=True, help="Wait for orders on the standard input; see callgate.testing."
)
@click.pass_obj
def harness(settings_file: Path | None, scenario: Path | None, *, nursery: bool) -> None:
    """Serve for a test, which may move the clock and let things go wrong. Never for real calls."""
    if nursery:
        from server.testing.harness.fork_server import raise_engines

        sys.exit(raise_engines())
    settings = _load_to_write(settings_file)
    from server.testing.harness.running import serve_harness

    sys.exit(serve_harness(settings, scenario))


def _serve(settings_file: Path | None) -> None:
    settings = _load_to_write(settings_file)
    if settings_file is not None:
        # The keeper beside the server reads the same settings.
        os.environ[FILE_VARIABLE] = str(settings_file)
    # Imported once the settings are right: a wrong one is told at once, not after the libraries.
    if settings.workers > 1:
        from server.app.workers.parent import supervise

        sys.exit(supervise(settings))
    from server.app import serve as serve_until_stopped

    sys.exit(serve_until_stopped(settings))


def _load_to_write(settings_file: Path | None) -> Settings:
    """Load the settings of a command that writes into the data folder: it is ours alone."""
    settings = _load(settings_file)
    take_from_others(settings.data_folder)
    return settings


def _load(settings_file: Path | None) -> Settings:
    try:
        return load_settings(settings_file, os.environ)
    except SettingsWrong as wrong:
        for mistake in wrong.mistakes:
            click.echo(mistake, err=True)
        sys.exit(EXIT_WRONG_SETTINGS)


if __name__ == "__main__":
    main(prog_name="python -m server")
