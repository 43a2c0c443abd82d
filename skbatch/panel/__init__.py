"""Reading and checking panels, naming feature columns, making labels."""

from skbatch.panel._calendar import (
    WEEKDAYS_PER_YEAR,
    describe_rows,
    mixed_calendars,
    number_calendars,
    periods_per_year,
)
from skbatch.panel._check import check_panel, invalid_values
from skbatch.panel._checked import CheckedPanel
from skbatch.panel._columns import (
    MARKET,
    SEPARATOR,
    PanelColumns,
    join_column,
    split_column,
)
from skbatch.panel._fields import panel_fields, panel_tickers
from skbatch.panel._inspected import InspectedPanel, inspect_panel
from skbatch.panel._labels import forward_returns
from skbatch.panel._reach import recorded_horizon
from skbatch.panel._read import read_panel
from skbatch.panel._tables import adopt_table

__all__ = [
    "MARKET",
    "SEPARATOR",
    "WEEKDAYS_PER_YEAR",
    "CheckedPanel",
    "InspectedPanel",
    "PanelColumns",
    "adopt_table",
    "check_panel",
    "describe_rows",
    "forward_returns",
    "inspect_panel",
    "invalid_values",
    "join_column",
    "mixed_calendars",
    "number_calendars",
    "panel_fields",
    "panel_tickers",
    "periods_per_year",
    "read_panel",
    "recorded_horizon",
    "split_column",
]
