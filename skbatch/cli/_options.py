"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Prices = Annotated[
    Path,
    typer.Argument(
        metavar="PRICES",
        help="CSV, Parquet or Excel file: wide (a column per ticker), long (a row per "
        "date and ticker), or as yfinance writes it.",
        show_default=False,
    ),
]
Horizons = Annotated[
    list[int] | None,
    typer.Option(
        "--horizon",
        metavar="ROWS",
        min=1,
        help="Rows to look ahead; 5 is a week of trading days. "
        "Several: --horizon 5 --horizon 21.",
        show_default="5",
    ),
]
Delay = Annotated[
    int | None,
    typer.Option(
        metavar="ROWS",
        min=0,
        help="Rows until the forecasts are traded; 1 is the next close.",
        show_default="0",
    ),
]
DelistingReturn = Annotated[
    float | None,
    typer.Option(
        metavar="RETURN",
        min=-1.0,
        help="Return that tickers whose prices end are taken to end with, such as "
        "-0.3; they are then learned from.",
        show_default="left out",
    ),
]
Coverages = Annotated[
    list[float] | None,
    typer.Option(
        "--coverage",
        metavar="SHARE",
        help="Share of returns that the intervals should contain. "
        "Several: --coverage 0.5 --coverage 0.9.",
        show_default="0.9",
    ),
]
Holdout = Annotated[
    int,
    typer.Option(
        metavar="ROWS",
        min=0,
        help="Score a second fit on this many last rows, which it has not seen. "
        "0 skips it and saves its time.",
    ),
]
Field = Annotated[
    str | None,
    typer.Option(metavar="FIELD", help="Use this field only, such as Close."),
]
Date = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the dates.")
]
Ticker = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the tickers; for a file of one ticker, its name.",
    ),
]
Value = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of the prices in a long file."),
]
Id = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of a long file that identifies companies where tickers were "
        "used again by others, such as permno.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="TOML file of settings; see `skbatch config init`."
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Keep the memory below this, such as 4GiB, or 0.5 of it."
    ),
]
CheckpointDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for checkpoints: a killed run resumes where it stopped.",
    ),
]
Jobs = Annotated[
    int | None, typer.Option(metavar="COUNT", help="Batches to fit at the same time.")
]
Performance = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JSON file for time and memory.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", metavar="", help="Report each batch on stderr.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File for the forecasts, .csv, .parquet or .xlsx; - writes CSV to "
        "stdout, and everything else to stderr.",
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        metavar="",
        help="Write tickers as they are, also those that a spreadsheet would run as "
        "formulas.",
    ),
]
Tickers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TICKERS",
        help="Show and write these tickers only, such as AAPL,MSFT; the model still "
        "learns from all.",
        show_default="all",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print the result as JSON instead of tables."
    ),
]
