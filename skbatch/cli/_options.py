"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Prices = Annotated[
    Path,
    typer.Argument(
        metavar="PRICES",
        help="CSV, Parquet or Excel file of prices: wide (a column per ticker), long "
        "(a row per date and ticker), or as yfinance writes them.",
        show_default=False,
    ),
]
Horizons = Annotated[
    list[int] | None,
    typer.Option(
        "--horizon",
        metavar="ROWS",
        min=1,
        help="Rows to forecast ahead; 5 is a week of trading days. Repeat it for "
        "several horizons: --horizon 5 --horizon 21.",
        show_default="5",
    ),
]
Delay = Annotated[
    int | None,
    typer.Option(
        metavar="ROWS",
        min=0,
        help="Rows from a forecast to its trade; 1 trades at the next close.",
        show_default="0",
    ),
]
DelistingReturn = Annotated[
    float | None,
    typer.Option(
        metavar="RETURN",
        min=-1.0,
        help="Final return assumed for tickers whose prices end, such as -0.3. Without "
        "it, models do not learn from returns that run past the last price.",
        show_default=False,
    ),
]
Coverages = Annotated[
    list[float] | None,
    typer.Option(
        "--coverage",
        metavar="SHARE",
        help="Share of returns that the prediction intervals should contain. Repeat it "
        "for several: --coverage 0.5 --coverage 0.9.",
        show_default="0.9",
    ),
]
Holdout = Annotated[
    int,
    typer.Option(
        metavar="ROWS",
        min=0,
        help="Score a second model on this many of the last rows, which it is not "
        "fitted on. 0 skips this and saves time.",
    ),
]
Field = Annotated[
    str | None,
    typer.Option(metavar="FIELD", help="Use only this field, such as Close."),
]
Date = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Name of the date column.")
]
Ticker = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Name of the ticker column; for a file of one ticker, the ticker.",
    ),
]
Value = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Name of the price column in a long file."),
]
Id = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Name of the column in a long file that identifies a company, such as "
        "permno, for files in which tickers were reused.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="TOML settings file; `skbatch config init` writes one."
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Keep memory use below this, such as 4GiB, or 0.5 for half of the "
        "available memory.",
    ),
]
CheckpointDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for checkpoints, so that a killed run resumes where it stopped.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="COUNT", help="Number of batches to fit in parallel."),
]
Performance = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write time and memory use to this JSON file."),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", metavar="", help="Log each batch to stderr.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the forecasts to this .csv, .parquet or .xlsx file; - writes CSV "
        "to stdout, and everything else to stderr.",
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        metavar="",
        help="Write tickers unchanged, even those that a spreadsheet would run as "
        "formulas.",
    ),
]
Tickers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TICKERS",
        help="Show and write only these tickers, such as AAPL,MSFT; the model still "
        "learns from all tickers.",
        show_default="all",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print the result as JSON instead of tables."
    ),
]
