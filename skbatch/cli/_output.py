"""Where the result of a run is written."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from skbatch._messages import date_text, format_tickers, printable
from skbatch._writing import write_whole
from skbatch.cli._shell import UserError, print_error, unwritable

if TYPE_CHECKING:
    import pandas as pd

# Spreadsheets run cells that begin like this as formulas.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")
# Suffix → the package that writes such files, and the extra that installs it.
_EXTRAS = {".parquet": ("pyarrow", "parquet"), ".xlsx": ("openpyxl", "excel")}


def is_stdout(output: Path | None) -> bool:
    """Return whether the forecasts go to stdout, where the tables would."""
    return output is not None and str(output) in ("-", "/dev/stdout")


def check_output(output: Path, prices: Path, *, as_json: bool) -> None:
    """Raise before the work is done if its result cannot be written."""
    if is_stdout(output):
        if as_json:
            raise UserError(
                "`--output` must be a file with --json, which prints to stdout. Got "
                f"'{output}'. Name a file, or leave out one of the two options."
            )
        return
    if output.exists() and not output.is_file():
        return
    suffix = output.suffix.lower()
    if suffix not in (".csv", *_EXTRAS):
        raise UserError(
            "`--output` must end in .csv, .parquet or .xlsx. Got "
            f"'{output}'. Choose another name."
        )
    package, extra = _EXTRAS.get(suffix, ("", ""))
    if package and find_spec(package) is None:
        raise UserError(
            f"`--output` must end in .csv unless {package} is installed. Got "
            f"'{output}'. Install {package} with: pip install 'skbatch[{extra}]'"
        )
    check_place("--output", output, prices)


def check_place(option: str, path: Path, prices: Path | None = None) -> None:
    """Raise if a file cannot be written there, or would replace the price file."""
    if not path.parent.is_dir():
        raise UserError(
            f"`{option}` must be in an existing folder. Got '{path.parent}'. Create it "
            "first."
        )
    if prices and path.exists() and prices.exists() and path.samefile(prices):
        raise UserError(
            f"`{option}` must not be the price file. Got '{path}' for both. Choose "
            "another name."
        )


def check_tickers(
    tickers: list[str], forecasts: pd.DataFrame, option: str = "`--tickers`"
) -> pd.DataFrame:
    """Select the rows of the tickers that are asked for."""
    wanted = [name for part in tickers for name in part.split(",") if name]
    known = set(forecasts["ticker"])
    unknown = [name for name in wanted if name not in known]
    if unknown:
        near = get_close_matches(unknown[0].upper(), sorted(known), 1)
        advice = f"Choose from {format_tickers(sorted(known))}."
        if near:
            advice = f"Did you mean {near[0]}?"
        raise UserError(
            f"{option} must be in the price file. Got "
            f"{format_tickers(unknown)}. {advice}"
        )
    return forecasts[forecasts["ticker"].isin(wanted)].reset_index(drop=True)


def write_forecasts(forecasts: pd.DataFrame, output: Path, *, raw: bool) -> None:
    """Write forecasts in the format of the name, without formulas in spreadsheets."""
    suffix = _suffix(output)
    if not raw and suffix != ".parquet":
        forecasts = without_formulas(forecasts)
    if suffix == ".xlsx":
        # Excel has no dates with time zones.
        dates = [date_text(date) for date in forecasts["date"]]
        forecasts = forecasts.assign(date=dates)
    _write_table(forecasts, output)


def write_weights(weights: pd.DataFrame, output: Path) -> None:
    """Write a portfolio in the format of the name, without formulas in spreadsheets."""
    if _suffix(output) != ".parquet":
        weights = weights.rename(as_text)
    _write_table(weights.reset_index(), output)


def _write_table(table: pd.DataFrame, output: Path) -> None:
    buffer = BytesIO()
    match _suffix(output):
        case ".parquet":
            table.to_parquet(buffer, index=False)
        case ".xlsx":
            table.to_excel(buffer, index=False)
        case _:
            table.to_csv(buffer, index=False, lineterminator="\n")
    write(buffer.getvalue(), output, "--output")


def _suffix(output: Path) -> str:
    return "" if is_stdout(output) else output.suffix.lower()


def without_formulas(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Escape cells that a spreadsheet or terminal would execute, with a warning."""
    changed = forecasts.copy()
    for name in ("ticker", "batch", "reason"):
        changed[name] = changed[name].map(as_text)
    tickers = forecasts["ticker"][forecasts["ticker"] != changed["ticker"]].unique()
    if len(tickers):
        print_error(
            "warning: Tickers must not be formulas or control characters in a "
            f"spreadsheet. Got {format_tickers(tickers)}, written with a quote or an "
            "escape. Pass --raw to write them unchanged."
        )
    return changed


def write(content: bytes, output: Path, option: str) -> None:
    """Write a file whole or not at all, or to stdout."""
    if is_stdout(output):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(output, content)
    except OSError as error:
        raise unwritable(f"`{option}`", output, error) from error


def as_text(cell: object) -> str:
    """Create a cell that a spreadsheet displays but does not execute."""
    text = printable(cell).replace("\n", r"\n")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
