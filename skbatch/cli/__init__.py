"""The command line: prices in, a table of expected returns out.

Only typer and rich are imported at the top; pandas and the models are imported by the
commands, so that ``skbatch --help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from skbatch import __version__
from skbatch.cli import (
    _command,
    _config,
    _evaluate,
    _explain,
    _forecast,
    _leak_check,
    _weights,
)

__all__ = ["app"]

app = typer.Typer(
    cls=_command.Group,
    help="Forecast the returns of a whole portfolio at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for function in (
    _forecast.demo,
    _forecast.forecast,
    _forecast.fit,
    _evaluate.evaluate,
    _explain.explain,
    _weights.weights,
    _leak_check.check,
):
    _command.register(app, function)
app.add_typer(_config.app, name="config")


@app.callback(invoke_without_command=True)
def skbatch(
    version: Annotated[
        bool, typer.Option("--version", metavar="", help="Show the version and exit.")
    ] = False,
) -> None:
    """Forecast the returns of a whole portfolio at once."""
    if version:
        print(f"skbatch {__version__}")
        raise typer.Exit
