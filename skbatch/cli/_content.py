"""What commands print: tables that fit narrow terminals, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from skbatch._messages import date_text
from skbatch.cli._output import check_place
from skbatch.cli._shell import UserError

if TYPE_CHECKING:
    import pandas as pd


def check_report(report: Path, prices: Path) -> None:
    """Raise before the work is done if the report cannot be written."""
    if report.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"`--report` must end in .html. Got '{report}'. Choose another name."
        )
    check_place("--report", report, prices)
    if find_spec("matplotlib") is None:
        raise UserError(
            "`--report` must be left out unless matplotlib is installed. Got "
            f"'{report}'. Install matplotlib with: pip install 'skbatch[plot]'"
        )


def make_table(*titles: str, numbers: int = 0) -> Table:
    """Create a table whose last columns are numbers; long cells are folded."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, title in enumerate(titles):
        number = place >= len(titles) - numbers
        justify: Any = "right" if number else "left"
        table.add_column(title, justify=justify, no_wrap=number, overflow="fold")
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table with a named index into records."""
    rows = table.reset_index().to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def print_as_json(content: Mapping[str, Any]) -> None:
    """Print JSON, with null where there is no number."""
    # Non-ASCII characters are escaped, so that any terminal or pipe can take them.
    print(json.dumps(_plain(content), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    """Turn a value into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if isinstance(value, str | int | None) else date_text(value)
