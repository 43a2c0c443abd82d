"""Files with a row per ticker: what a portfolio holds today, and groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skbatch._messages import format_tickers
from skbatch.cli._shell import UserError, file_error

if TYPE_CHECKING:
    import pandas as pd

TICKERS, AMOUNTS = ("ticker", "symbol"), ("weight", "value", "shares", "quantity")
GROUPS = ("group", "sector", "gics sector", "industry")


def read_holdings(path: Path, closes: pd.Series) -> pd.Series:
    """Read holdings as weights that sum to 1; shares are valued at the last close.

    Tickers without prices are kept if their weight or value is given.
    """
    import pandas as pd

    given = _by_ticker(path, AMOUNTS, "--current", "a weight, value or shares")
    held = pd.to_numeric(given, errors="coerce")
    bad = held.index[held.isna() | (held < 0) | held.index.duplicated()]
    if len(bad) or not held.sum() > 0:
        problem = "amounts that are all 0"
        if len(bad):
            problem = f"a repeated ticker, or no such amount, for {format_tickers(bad)}"
        raise UserError(
            "`--current` must list each ticker once, with an amount of 0 or more, and "
            f"hold something. Got {problem}. Correct the file."
        )
    if given.name in ("shares", "quantity"):
        unknown = held.index.difference(closes.dropna().index)
        if len(unknown):
            raise UserError(
                "`--current` must give the weight or value, not the shares, of tickers "
                f"without prices. Got shares of {format_tickers(unknown)}. Replace the "
                "column with one of values, or remove these tickers."
            )
        held = held * closes.reindex(held.index)
    return held / held.sum()


def read_groups(path: Path) -> pd.Series:
    """Read the group of each ticker, such as its sector."""
    found = _by_ticker(path, GROUPS, "--groups", "a group, sector or industry")
    twice = found.index[found.index.duplicated()]
    if len(twice):
        raise UserError(
            f"`--groups` must list each ticker once. Got {format_tickers(twice)} "
            "more than once. Correct the file."
        )
    return found.dropna()


def _by_ticker(
    path: Path, columns: tuple[str, ...], option: str, wanted: str
) -> pd.Series:
    """Read the first of some columns, by ticker."""
    import pandas as pd

    try:
        excel = path.suffix.lower() == ".xlsx"
        table = pd.read_excel(path) if excel else pd.read_csv(path)
    except OSError as error:
        raise UserError(
            f"`{option}` must be a CSV or Excel file. Got {file_error(error)}. Check "
            "the path."
        ) from error
    except (ValueError, ImportError) as error:
        raise UserError(
            f"`{option}` must be a CSV or Excel file. Got '{path}' ({error}). Save it "
            "again as .csv or .xlsx."
        ) from error
    table.columns = table.columns.astype(str).str.strip().str.lower()
    ticker, column = (
        next((n for n in known if n in table), None) for known in (TICKERS, columns)
    )
    if ticker is None or column is None:
        raise UserError(
            f"`{option}` must have a ticker column and {wanted} column. Got "
            f"{', '.join(table.columns[:8])}. Rename the columns."
        )
    return table[column].set_axis(table[ticker].astype(str).str.strip())
