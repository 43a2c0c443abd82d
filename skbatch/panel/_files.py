"""Files of prices, read as they are; their meaning is found elsewhere."""

from __future__ import annotations

import csv
import os
import re
from itertools import islice
from pathlib import Path

import pandas as pd

from skbatch.exceptions import PanelError
from skbatch.panel._dates import is_date_text
from skbatch.panel._fields import has_close
from skbatch.panel._long import is_ticker_name

_MISSING = [
    "",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "NaN",
    "nan",
    "<NA>",
    "None",
    "null",
    "NULL",
]
_NUMBER = re.compile(r"\s*[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?\s*$")
_DECIMAL = re.compile(r"\s*[-+]?\d*[.,]\d*([eE][-+]?\d+)?\s*$")


def read_table(path: str | os.PathLike[str], ticker: str | None) -> pd.DataFrame:
    """Read a CSV or Parquet file; CSV keeps its columns' names, even duplicates."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"`path_or_frame` must be an existing file. Got {str(path)!r}. Check the "
            f"spelling; relative paths start at {str(Path.cwd())!r}."
        )
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    if suffix in (".csv", ".tsv", ".txt"):
        try:
            return _read_csv(path, ticker)
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            raise PanelError(
                f"{path.name!r} must be a table in UTF-8 text, with as many cells in "
                f"every row. Got: {error}. Correct the file."
            ) from error
    raise PanelError(
        "`path_or_frame` must end in .csv, .tsv, .txt, .parquet or .pq. Got "
        f"{path.name!r}. Convert the file, or read it with pandas and pass the table."
    )


def _read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file."""
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ImportError(
            "Reading Parquet files needs pyarrow. "
            'Install it with `pip install "skbatch[parquet]"`.'
        ) from error


def _read_csv(path: Path, ticker: str | None) -> pd.DataFrame:
    """Read a CSV file with one row of column names, or yfinance's two or three."""
    # utf-8-sig: spreadsheet programs write a byte order mark before the first name.
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(islice(file, 4))
    separator = max(",;\t", key="".join(lines[:1]).count)
    rows = [
        [cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)
    ]
    n_header, has_index_row = _count_header_rows(rows)
    skipped = n_header + has_index_row
    if len(rows) <= skipped:
        raise PanelError(
            f"`path_or_frame` must hold prices. Got {path.name!r} with "
            f"{len(rows)} row(s). Check the file."
        )
    first = rows[skipped]
    texts = _text_columns(rows[0], first, ticker) if n_header == 1 else []
    missing = {n: [""] if n in texts else _MISSING for n in range(len(first))}
    body = pd.read_csv(
        path,
        header=None,
        skiprows=skipped,
        sep=separator,
        decimal="," if separator == ";" and any(map(_has_comma, first)) else ".",
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values=missing,  # type: ignore[arg-type]
        skipinitialspace=True,
        encoding="utf-8-sig",
        low_memory=False,
    )
    body.columns = _name_columns(rows, n_header, body.shape[1], path)
    return body


def _text_columns(names: list[str], cells: list[str], ticker: str | None) -> list[int]:
    """Find columns of tickers: NA, TRUE and 0700 are not to be read as values."""
    return [
        number
        for number, (name, cell) in enumerate(zip(names, cells, strict=False))
        if name == ticker or (is_ticker_name(name) and not _DECIMAL.match(cell))
    ]


def _has_comma(cell: str) -> bool:
    """Tell whether a number has a decimal comma."""
    return "," in cell and _NUMBER.match(cell) is not None


def _count_header_rows(rows: list[list[str]]) -> tuple[int, bool]:
    """Count the rows of column names, and tell if the index's name has its own row.

    yfinance tables have a row of fields and a row of tickers, in either order.
    """
    if len(rows) < 2 or not _is_second_header(rows[0], rows[1]):
        return 1, False
    index_row = rows[2] if len(rows) > 2 else []
    named = len(index_row) > 0 and not any(index_row[1:])
    return 2, named and not is_date_text(index_row[0])


def _is_second_header(first: list[str], second: list[str]) -> bool:
    """Tell whether the second row of a file holds names, not values."""
    names, cells = first[1:], second[1:]
    if not cells or not all(cells) or not (has_close(names) or has_close(cells)):
        return False
    return is_ticker_name(second[0]) or not any(map(_NUMBER.match, cells))


def _name_columns(
    rows: list[list[str]], n_header: int, n_columns: int, path: Path
) -> pd.Index:
    """Make the column index; a file may leave the first column without a name."""
    names = rows[:n_header]
    names = [[""] * (n_columns == len(row) + 1) + row for row in names]
    if any(len(row) != n_columns for row in names):
        raise PanelError(
            f"{path.name!r} must have as many names as columns. Got {len(rows[0])} "
            f"names and {n_columns} columns. Check the first row."
        )
    if n_header == 1:
        return pd.Index(names[0], dtype=object)
    for row in names:
        row[0] = ""
    names[0][0] = "Date"
    return pd.MultiIndex.from_arrays(names)
