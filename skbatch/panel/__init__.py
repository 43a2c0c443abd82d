"""Reading and checking panels, naming feature columns, making labels."""

from skbatch.panel._columns import (
    MARKET,
    SEPARATOR,
    PanelColumns,
    join_column,
    split_column,
)

__all__ = ["MARKET", "SEPARATOR", "PanelColumns", "join_column", "split_column"]
