"""``skbatch config``: write, show and check settings files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from skbatch._writing import write_whole
from skbatch.cli._command import Group, register
from skbatch.cli._shell import (
    UserError,
    errors_to_users,
    file_error,
    make_console,
    shown_to_users,
    unwritable,
)

FILE = Path("skbatch.toml")

app = typer.Typer(
    cls=Group, help="Write, show and check settings files.", no_args_is_help=True
)


def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="TOML file to write.")
    ] = FILE,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Overwrite an existing file.")
    ] = False,
) -> None:
    """Write a settings file with every setting, its default and what it does."""
    with errors_to_users():
        from skbatch.config.engine import settings_template

        text = settings_template()
        if path.is_dir():
            raise UserError(
                f"PATH must be a file, not a folder. Got '{path}'. Add a file name, "
                f"such as '{path / FILE}'."
            )
        if path.exists() and not force:
            raise UserError(
                f"PATH must be a new file. Got '{path}', which exists. Choose another "
                "name, or pass --force to overwrite the file."
            )
        try:
            write_whole(path, text)
        except OSError as error:
            raise unwritable("PATH", path, error) from error
    print(f"Written to {path}")


def show(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="TOML file; without one, only environment variables apply.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show the settings in effect and where each one comes from."""
    with shown_to_users():
        from skbatch.config.engine import effective_settings

        rows = _read(effective_settings, path)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for row in rows:
        table.add_row(*row, style="dim" if row[-1] == "default" else None)
    file = "without a settings file" if path is None else f"with --config {path}"
    console = make_console()
    console.print(f"In effect for `skbatch forecast` {file}")
    console.line()
    console.print(table)


def validate(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="TOML file to check.", show_default=False),
    ],
) -> None:
    """Check a settings file and list everything that is wrong with it."""
    with errors_to_users():
        from skbatch.config import BatchForecastingConfig

        _read(lambda path: BatchForecastingConfig.from_file(path, env=False), path)
    print(f"OK: {path}")


def _read(read: Callable[[Path | None], Any], path: Path | None) -> Any:
    """Read a file, or explain why it cannot be read."""
    try:
        return read(path)
    except OSError as error:
        raise UserError(
            f"PATH must be a file that can be read. Got {file_error(error)}. Check the "
            "path."
        ) from error


for command in (init, show, validate):
    register(app, command)
