"""Files of prices, read as they are; their meaning is found elsewhere."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from io import StringIO
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from skbatch.exceptions import PanelError
from skbatch.panel._dates import is_date_text
from skbatch.panel._numbers import MISSING, is_number_text, is_text
from skbatch.panel._spellings import has_close, is_date_name, is_ticker_name

# What `read_table` reads, by the end of the name.
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx")

_DECIMAL = re.compile(r"\s*[-+]?\d*[.,]\d*([eE][-+]?\d+)?\s*$")


def read_table(
    path: str | os.PathLike[str], ticker: str | None, id: str | None = None
) -> pd.DataFrame:
    """Read a file; CSV and Excel keep their columns' names, even duplicates."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"`path_or_frame` must be an existing file. Got {str(path)!r}. Check the "
            f"spelling; relative paths start at {str(Path.cwd())!r}."
        )
    if path.is_dir():
        raise PanelError(
            f"`path_or_frame` must be a file, not a folder. Got {str(path)!r}. Name "
            "the file in it."
        )
    suffix, texts = path.suffix.lower(), [ticker, id]
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    if suffix == ".xlsx":
        return _read_csv(_excel_as_csv(path), path, texts)
    if suffix in TABLE_SUFFIXES:
        try:
            # utf-8-sig: spreadsheet programs write a byte order mark before the first
            # name.
            return _read_csv(path.read_text(encoding="utf-8-sig"), path, texts)
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            raise PanelError(
                f"{path.name!r} must be a text table in UTF-8, with the same number of "
                f"cells in every row. Got: {error}. Correct the file."
            ) from error
    raise PanelError(
        f"`path_or_frame` must end in {', '.join(TABLE_SUFFIXES[:-1])} or .xlsx. Got "
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


def _excel_as_csv(path: Path) -> str:
    """Write the only sheet of an Excel file as CSV, whose rules then hold for it."""
    try:
        sheets = pd.read_excel(
            path, header=None, sheet_name=None, dtype=object, keep_default_na=False
        )
    except ImportError as error:
        raise ImportError(
            "Reading Excel files needs openpyxl. "
            'Install it with `pip install "skbatch[excel]"`.'
        ) from error
    except (ValueError, KeyError, BadZipFile) as error:
        raise PanelError(
            f"{path.name!r} must be an Excel file. Got: {error}. Save it "
            "again as .xlsx."
        ) from error
    filled = {name: sheet for name, sheet in sheets.items() if sheet.size}
    if len(filled) != 1:
        raise PanelError(
            f"{path.name!r} must have one sheet with prices. Got {len(filled)}: "
            f"{', '.join(filled) or 'none'}. Save the sheet of prices as its own file."
        )
    (sheet,) = filled.values()
    return sheet.to_csv(index=False, header=False).replace(" 00:00:00", "")


def _read_csv(text: str, path: Path, as_text: Sequence[str | None]) -> pd.DataFrame:
    """Read CSV with one row of column names, or yfinance's two or three."""
    lines = list(islice(text.splitlines(), 4))
    separator = max(",;\t|", key="".join(lines[:1]).count)
    rows = [
        [cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)
    ]
    n_header, has_index_row = _count_header_rows(rows)
    skipped = n_header + has_index_row
    if len(rows) <= skipped:
        raise PanelError(
            f"`path_or_frame` must hold prices. Got {path.name!r}, which "
            f"{'has no rows below its header' if rows else 'is empty'}. Check the file."
        )
    names = _fill_names(rows[:n_header])
    texts = _text_columns(rows[0], rows[skipped], as_text) if n_header == 1 else []
    try:
        body = _read_body(text, separator, skipped, texts)
    except pd.errors.ParserError:
        text = _without_surplus(text, separator, skipped, len(names[0]), path)
        body = _read_body(text, separator, skipped, texts)
    numbers = range(body.shape[1])
    if any(_has_commas(body[n]) for n in numbers if n not in texts):
        # 1.234 next to 1.234,56 was read as a number: its meaning comes from
        # all cells.
        body = _read_body(text, separator, skipped, numbers)
    return _name_columns(body, names, path)


def _read_body(
    text: str, separator: str, skipped: int, texts: Sequence[int]
) -> pd.DataFrame:
    """Read what follows the header, some columns as text."""
    lines = StringIO(text)
    width = next(islice(lines, skipped, None)).count(separator) + 1
    missing = {n: [""] if n in texts else MISSING for n in range(width)}
    return pd.read_csv(
        StringIO(text),
        header=None,
        skiprows=skipped,
        sep=separator,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values=missing,  # type: ignore[arg-type]
        skipinitialspace=True,
        low_memory=False,
    )


def _text_columns(
    names: list[str], cells: list[str], as_text: Sequence[str | None]
) -> list[int]:
    """Find columns of tickers: NA, TRUE and 0700 are not to be read as values."""
    return [
        number
        for number, (name, cell) in enumerate(zip(names, cells, strict=False))
        if name in as_text or (is_ticker_name(name) and not _DECIMAL.match(cell))
    ]


def _has_commas(values: pd.Series) -> bool:
    """Return whether a column has text of numbers with commas."""
    if not is_text(values.dtype):
        return False
    known = values.dropna()
    return any("," in str(cell) and is_number_text(cell) for cell in known.unique())


def _without_surplus(
    text: str, separator: str, skipped: int, width: int, path: Path
) -> str:
    """Drop empty cells beyond the names; raise where a cell is not empty."""
    rows = list(csv.reader(StringIO(text), delimiter=separator))
    body = rows[skipped:]
    # The dates may have no name.
    width += any(cell.strip() for row in body for cell in row[width : width + 1])
    for number, row in enumerate(body, start=skipped + 1):
        if any(cell.strip() for cell in row[width:]):
            raise PanelError(
                f"{path.name!r} must have as many cells in every row as names. Got "
                f"{len(row)} cells in row {number}, with {row[-1]!r} as the last. "
                "Correct the file."
            )
    rows = [row[:width] + [""] * (width - len(row)) for row in rows]
    out = StringIO()
    csv.writer(out, delimiter=separator).writerows(rows)
    return out.getvalue()


def _count_header_rows(rows: list[list[str]]) -> tuple[int, bool]:
    """Count the rows of column names, and whether the index's name has its own row."""
    if len(rows) < 2 or not _is_second_header(rows[0], rows[1]):
        return 1, False
    index_row = rows[2] if len(rows) > 2 else []
    named = len(index_row) > 0 and not any(index_row[1:])
    return 2, named and not is_date_text(index_row[0])


def _is_second_header(first: list[str], second: list[str]) -> bool:
    """Return whether the second row of a file holds names, not values."""
    names, cells = first[1:], second[1:]
    if not cells or not all(cells) or not (has_close(names) or has_close(cells)):
        return False
    if is_ticker_name(second[0]):
        return True
    return not is_date_text(second[0]) and not any(map(is_number_text, cells))


def _fill_names(rows: list[list[str]]) -> list[list[str]]:
    """Repeat the names of merged cells, which are written once."""
    if len(rows) == 1:
        return rows
    filled = []
    for row in rows:
        names = row[:2]
        for name in row[2:]:
            names.append(name or names[-1])
        filled.append(names)
    return filled


def _name_columns(
    body: pd.DataFrame, names: list[list[str]], path: Path
) -> pd.DataFrame:
    """Name the columns; the dates may have no name, and surplus columns no cells."""
    n_columns = body.shape[1]
    while len(names[0]) > n_columns and not any(row[-1] for row in names):
        names = [row[:-1] for row in names]
    n_names = len(names[0])
    surplus = body.iloc[:, n_names:]
    first = body.iloc[0, 0]
    if n_columns == n_names + 1 and len(names) == 1 and is_date_text(first):
        if surplus.isna().all(axis=None) and not is_date_name(names[0][0]):
            raise PanelError(
                f"{path.name!r} must have as many names as columns. Got "
                f"{names[0][0]!r} over dates such as {first!r}, and an empty column "
                "at the end: a name may be missing at the start, or there is an "
                "extra separator at the end. Correct the first row."
            )
        if not is_date_name(names[0][0]):
            return body.set_axis(pd.Index(["", *names[0]], dtype=object), axis=1)
    if surplus.notna().any(axis=None) or n_columns < n_names:
        raise PanelError(
            f"{path.name!r} must have as many names as columns. Got {n_names} "
            f"names and {n_columns} columns. Check the first row."
        )
    body = body.iloc[:, :n_names]
    unnamed = [n for n in range(1, n_names) if not any(row[n] for row in names)]
    body = body.drop(columns=[n for n in unnamed if body[n].isna().all()])
    kept = [n for n in range(n_names) if n in body.columns]
    names = [[row[n] for n in kept] for row in names]
    if len(names) == 1:
        return body.set_axis(pd.Index(names[0], dtype=object), axis=1)
    for row in names:
        row[0] = ""
    names[0][0] = "Date"
    return body.set_axis(pd.MultiIndex.from_arrays(names), axis=1)
