"""What the other subpackages need to read panels: fields, tickers, names, calendars.

This module is for the other subpackages. It may change with any release.
"""

from skbatch.panel._calendar import (
    WEEKDAYS_PER_YEAR,
    describe_rows,
    number_calendars,
    rows_per_year,
)
from skbatch.panel._check import (
    CheckedPanel,
    InspectedPanel,
    PanelLike,
    inspect_marked,
    inspect_panel,
)
from skbatch.panel._columns import (
    CATEGORY,
    GROUPING,
    IMPLIED_VOLATILITY,
    IN_UNIVERSE,
    MARKET,
    SEPARATOR,
    PanelColumns,
    are_among,
    join_column,
    join_columns,
)
from skbatch.panel._fields import panel_fields, panel_tickers
from skbatch.panel._files import TABLE_SUFFIXES
from skbatch.panel._labels import (
    final_returns,
    last_prices,
    mask_late,
    with_final_values,
)
from skbatch.panel._reach import (
    KeptWhole,
    recorded_delay,
    recorded_horizon,
    recorded_reach,
)
from skbatch.panel._signal_fields import panel_signals
from skbatch.panel._spellings import FIELDS
from skbatch.panel._tables import adopt_table
from skbatch.panel._universe import Universe, find_members

__all__ = [
    "CATEGORY",
    "FIELDS",
    "GROUPING",
    "IMPLIED_VOLATILITY",
    "IN_UNIVERSE",
    "MARKET",
    "SEPARATOR",
    "TABLE_SUFFIXES",
    "WEEKDAYS_PER_YEAR",
    "CheckedPanel",
    "InspectedPanel",
    "KeptWhole",
    "PanelColumns",
    "PanelLike",
    "Universe",
    "adopt_table",
    "are_among",
    "describe_rows",
    "final_returns",
    "find_members",
    "inspect_marked",
    "inspect_panel",
    "join_column",
    "join_columns",
    "last_prices",
    "mask_late",
    "number_calendars",
    "panel_fields",
    "panel_signals",
    "panel_tickers",
    "recorded_delay",
    "recorded_horizon",
    "recorded_reach",
    "rows_per_year",
    "with_final_values",
]
