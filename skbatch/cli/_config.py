"""``skbatch config``: write, show and check files of settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from skbatch._writing import write_whole
from skbatch.cli._shell import (
    UserError,
    errors_to_users,
    file_error,
    make_console,
    shown_to_users,
)

FILE = Path("skbatch.toml")

app = typer.Typer(help="Write, show and check files of settings.", no_args_is_help=True)


@app.command()
def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="TOML file to write.")
    ] = FILE,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Overwrite a file that exists.")
    ] = False,
) -> None:
    """Write a file with every setting, its default and what it does."""
    with errors_to_users():
        from skbatch.config.engine import settings_template

        text = settings_template()
        if path.exists() and not force:
            raise UserError(
                f"PATH must be a new file. Got '{path}', which exists. Choose another "
                "name, or pass --force to overwrite it."
            )
        try:
            write_whole(path, text)
        except OSError as error:
            raise UserError(f"PATH must be writable. Got {error}.") from error
    print(f"Written to {path}")


@app.command()
def show(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="TOML file. Without one, what the environment sets.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show the settings in effect, and where each comes from."""
    with shown_to_users():
        from skbatch.config.engine import effective_settings

        rows = _read(effective_settings, path)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for row in rows:
        table.add_row(*row, style="dim" if row[-1] == "default" else None)
    file = "without a file of settings" if path is None else f"with --config {path}"
    console = make_console()
    console.print(f"In effect for `skbatch forecast` {file}")
    console.line()
    console.print(table)


@app.command()
def validate(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="TOML file.", show_default=False)
    ],
) -> None:
    """Check a file of settings, and list all that is wrong with it."""
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
            f"PATH must be a file that can be read. Got {file_error(error)}."
        ) from error
