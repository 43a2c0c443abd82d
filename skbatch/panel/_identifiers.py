"""Companies by an id of their own, whatever tickers they had."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import count, date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._long import ticker_texts
from skbatch.panel._reach import KeptWhole

# Between a ticker that several companies had and the id of one of them.
SIGN = "="


class Ids(KeptWhole, dict[str, str]):
    """Column → id of the company; goes with a panel, in its `attrs`."""


def id_texts(ids: pd.Series) -> pd.Series:
    """Convert ids to text, whole numbers without a decimal point."""
    if types.is_float_dtype(ids.dtype) and (ids.dropna() % 1 == 0).all():
        ids = ids.astype("Int64")
    return ticker_texts(ids).astype("string")


def name_by_id(
    dates: pd.Index, tickers: pd.Series, ids: pd.Series
) -> tuple[pd.Series, Ids]:
    """Name the company of each row: by its latest ticker, and its id if that is shared.

    The second result maps names to ids.
    """
    owners = id_texts(ids)
    rows = pd.DataFrame(
        {"date": dates, "ticker": tickers.to_numpy(), "id": owners.to_numpy()}
    )
    n_lacking = int(rows.isna().any(axis=1).sum())
    if n_lacking:
        raise PanelError(
            "Every row of a table with ids must have a date, a ticker and an id. Got "
            f"{count(n_lacking, 'row')} without one of them. Drop the rows, or "
            "correct the file."
        )
    unique = rows.drop_duplicates()
    other = unique[unique.duplicated(["date", "ticker"])]
    if len(other):
        date, ticker, _ = other.iloc[0]
        is_both = (unique["date"] == date) & (unique["ticker"] == ticker)
        raise PanelError(
            "A ticker must have one id at a time. Got the ids "
            f"{format_tickers(unique.loc[is_both, 'id'])} of {ticker} on "
            f"{date_text(date)}. Drop the rows of the other security, or rename it."
        )
    pairs = rows.drop_duplicates(["ticker", "id"])
    shared = pairs["ticker"][pairs["ticker"].duplicated()]
    latest = rows.sort_values("date", kind="stable").groupby("id")["ticker"].last()
    names = latest.astype(str)
    is_shared = latest.isin(shared)
    names[is_shared] += SIGN + names.index[is_shared]
    if not names.is_unique:
        raise PanelError(
            "Tickers and ids must make different names. Got "
            f"{format_tickers(names[names.duplicated()])} twice. Rename these tickers."
        )
    found = pd.Series(names.reindex(owners).to_numpy(), tickers.index, name="ticker")
    return found, Ids(zip(names, names.index, strict=True))


def ids_of(panel: pd.DataFrame, tickers: pd.Index) -> pd.Index:
    """Return the id of each ticker of a panel."""
    known = panel.attrs.get("ids")
    if not isinstance(known, Mapping):
        raise PanelError(
            "`id` must go with prices that were read by their ids. Got no "
            '`prices.attrs["ids"]`. Read them with `read_panel(..., id=...)`, or set '
            "it to a dict of tickers to ids."
        )
    found = [known.get(ticker) for ticker in tickers]
    ids = np.array([f"\0{n}" if i is None else str(i) for n, i in enumerate(found)])
    return pd.Index(ids, dtype=object)
