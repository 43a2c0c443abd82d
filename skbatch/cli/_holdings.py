"""What a portfolio holds today, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skbatch._messages import format_tickers
from skbatch.cli._shell import UserError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_holdings"]

TICKERS, AMOUNTS = ("ticker", "symbol"), ("weight", "value", "shares", "quantity")


def read_holdings(path: Path, closes: pd.Series) -> pd.Series:
    """Read the weights of holdings, which sum to 1; shares are worth their last close.

    Tickers that have no prices are kept if their weight or value is given.
    """
    import pandas as pd

    try:
        excel = path.suffix.lower() == ".xlsx"
        table = pd.read_excel(path) if excel else pd.read_csv(path)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"`--current` must be a CSV or Excel file. Got {error}."
        ) from error
    table.columns = table.columns.astype(str).str.strip().str.lower()
    names = [
        next((n for n in known if n in table), None) for known in (TICKERS, AMOUNTS)
    ]
    if None in names:
        raise UserError(
            "`--current` must have a column ticker, and one of weight, value or "
            f"shares. Got {', '.join(table.columns[:8])}. Rename the columns."
        )
    amounts = pd.to_numeric(table[names[1]], errors="coerce")
    tickers = table[names[0]].astype(str).str.strip()
    held = amounts.set_axis(tickers)
    bad = held.index[held.isna() | (held < 0) | held.index.duplicated()]
    if len(bad) or not held.sum() > 0:
        raise UserError(
            "`--current` must have each ticker once, with a number of at least 0. Got "
            f"another for {format_tickers(bad) or 'all'}. Correct the file."
        )
    if names[1] in ("shares", "quantity"):
        unknown = held.index.difference(closes.dropna().index)
        if len(unknown):
            raise UserError(
                "`--current` must have a weight or value for tickers without prices. "
                f"Got shares of {format_tickers(unknown)}. Add a column value instead."
            )
        held = held * closes.reindex(held.index)
    return held / held.sum()
