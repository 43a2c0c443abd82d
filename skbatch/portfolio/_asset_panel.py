"""Panels of skfolio, with prices and signals as fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel import check_panel
from skbatch.panel.engine import PanelLike, panel_fields, panel_signals, panel_tickers


def to_asset_panel(prices: PanelLike) -> Any:
    """Convert prices and signals to an AssetPanel of skfolio.

    Parameters
    ----------
    prices : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Panel of prices, or one with fields; see :func:`~skbatch.check_panel`.

    Returns
    -------
    skfolio.containers.AssetPanel
        With the fields close, open, high, low and volume, as far as they are there,
        and every signal under its name; categories as ``FieldCategorical``.

    Raises
    ------
    PanelError
        If `prices` is malformed.
    ImportError
        If skfolio 1.12 or later is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.portfolio import from_asset_panel, to_asset_panel
    >>> prices = pd.DataFrame({"AAPL": [3.0, 4.0], "MSFT": [5.0, 6.0]})
    >>> from_asset_panel(to_asset_panel(prices))
    field  Close
    ticker  AAPL MSFT
    0        3.0  5.0
    1        4.0  6.0
    """
    containers = _containers()
    panel = check_panel(prices, warn_all_nan=False)
    fields: dict[str, Any] = dict(panel_fields(panel))
    for name, table in panel_signals(panel).items():
        dtype = table.dtypes.iloc[0]
        if isinstance(dtype, pd.CategoricalDtype):
            codes = np.column_stack([column.cat.codes for _, column in table.items()])
            levels = np.asarray(dtype.categories.astype(str))
            fields[name] = containers.FieldCategorical(codes.astype(int), levels=levels)
        else:
            fields[name] = table.to_numpy()
    return containers.AssetPanel(
        fields=fields,
        observations=panel.index.to_numpy(),
        asset_names=np.asarray(panel_tickers(panel), dtype=str),
    )


def from_asset_panel(panel: Any) -> pd.DataFrame:
    """Convert an AssetPanel of skfolio, which must hold closes, to a panel.

    Parameters
    ----------
    panel : skfolio.containers.AssetPanel
        Its 2-dimensional fields are prices, volume and signals, by their names; see
        :func:`~skbatch.check_panel`. Assets that are not active have no values, and
        the mask of those that are active can be the `universe` of
        :class:`~skbatch.SharedFeatureExtractor`.

    Returns
    -------
    DataFrame of shape (n_dates, n_fields * n_tickers)
        Panel as :func:`~skbatch.check_panel` returns it.

    Raises
    ------
    PanelError
        If there is no field of closes, or one of three dimensions.
    """
    index, tickers = pd.Index(panel.observations), pd.Index(panel.asset_names)
    tables = {}
    for name in panel.fields:
        field = panel.fields[name]
        if field.ndim != 2:
            raise PanelError(
                "Fields must have two dimensions, dates and tickers. Got "
                f"{field.ndim} in {name!r}. Drop it from the AssetPanel with "
                f"`del panel[{name!r}]`; the fields are {format_tickers(panel.fields)}."
            )
        tables[name] = _table_of(field, index, tickers)
        if not panel.active_mask.all():
            tables[name] = tables[name].where(panel.active_mask)
    return check_panel(pd.concat(tables, axis=1), warn_all_nan=False)


def _table_of(field: Any, index: pd.Index, tickers: pd.Index) -> pd.DataFrame:
    """Convert a field to a table."""
    if not field.is_categorical:
        return pd.DataFrame(field.values, index, tickers)
    columns = {
        ticker: pd.Categorical.from_codes(codes, categories=field.levels)
        for ticker, codes in zip(tickers, field.values.T, strict=True)
    }
    return pd.DataFrame(columns, index)


def _containers() -> Any:
    """Import the containers of skfolio."""
    try:
        from skfolio import containers
    except ImportError as error:
        raise ImportError(
            "Panels of skfolio need skfolio 1.12 or later. Install it with "
            '`pip install "skbatch[portfolio]"`.'
        ) from error
    return containers
