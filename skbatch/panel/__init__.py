"""Reading and checking panels, naming feature columns, making labels."""

from skbatch.panel._calendar import periods_per_year
from skbatch.panel._check import check_panel
from skbatch.panel._columns import split_column
from skbatch.panel._join_signals import join_signals
from skbatch.panel._labels import forward_returns
from skbatch.panel._read import read_panel
from skbatch.panel._universe import liquid

__all__ = [
    "check_panel",
    "forward_returns",
    "join_signals",
    "liquid",
    "periods_per_year",
    "read_panel",
    "split_column",
]
