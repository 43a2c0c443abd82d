"""Where the result of a run is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skbatch._messages import count, format_tickers, printable
from skbatch._writing import write_whole
from skbatch.cli._shell import UserError, print_error

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_output", "is_stdout", "to_csv", "write"]

# Spreadsheets run cells that begin like this as formulas.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")


def is_stdout(output: Path | None) -> bool:
    """Whether the forecasts go where the tables would."""
    return output is not None and str(output) in ("-", "/dev/stdout")


def check_output(output: Path, prices: Path) -> None:
    """Raise before the work is done if its result cannot be written."""
    if is_stdout(output) or (output.exists() and not output.is_file()):
        return
    if output.suffix.lower() != ".csv":
        raise UserError(
            f"`--output` must end in .csv. Got '{output}'. Choose another name."
        )
    if not output.parent.is_dir():
        raise UserError(
            "`--output` must be in an existing folder. Got "
            f"'{output.parent}'. Make it first."
        )
    if output.exists() and prices.exists() and output.samefile(prices):
        raise UserError(
            "`--output` must not be the file of prices. "
            f"Got '{output}' for both. Choose another name."
        )


def to_csv(forecasts: pd.DataFrame, *, raw: bool) -> str:
    """Write forecasts as CSV, in which no ticker is a formula unless it is raw."""
    if not raw:
        changed = forecasts.copy()
        for name in ("ticker", "batch", "reason"):
            changed[name] = changed[name].map(_as_text)
        tickers = forecasts["ticker"][forecasts["ticker"] != changed["ticker"]].unique()
        if len(tickers):
            print_error(
                f"warning: {count(len(tickers))} would be a formula or hidden "
                f"characters in a spreadsheet: {format_tickers(tickers)}. The CSV has "
                "them after a quote, or as escapes; --raw keeps them as they are."
            )
        forecasts = changed
    return str(forecasts.to_csv(index=False, lineterminator="\n"))


def write(content: str, output: Path, option: str) -> None:
    """Write a file whole or not at all, or to stdout."""
    if is_stdout(output):
        sys.stdout.buffer.write(content.encode())
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(output, content)
    except OSError as error:
        raise UserError(f"`{option}` must be writable. Got {error}.") from error


def _as_text(cell: object) -> str:
    """Make a cell that a spreadsheet shows and does not run."""
    text = printable(cell).replace("\n", r"\n")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
