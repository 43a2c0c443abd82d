"""Reading and checking panels, naming feature columns, making labels."""

from skbatch.panel._check import check_panel, invalid_values
from skbatch.panel._columns import (
    MARKET,
    SEPARATOR,
    TYPICAL_VOLATILITY,
    PanelColumns,
    join_column,
    split_column,
)
from skbatch.panel._fields import panel_fields, panel_tickers
from skbatch.panel._labels import forward_returns
from skbatch.panel._read import read_panel

__all__ = [
    "MARKET",
    "SEPARATOR",
    "TYPICAL_VOLATILITY",
    "PanelColumns",
    "check_panel",
    "forward_returns",
    "invalid_values",
    "join_column",
    "panel_fields",
    "panel_tickers",
    "read_panel",
    "split_column",
]
