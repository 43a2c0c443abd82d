"""``skbatch forecast`` and ``skbatch demo``: prices in, expected returns out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skbatch.cli._shell import Stages, UserError, shown_to_users
from skbatch.cli._show import Result, report
from skbatch.exceptions import SkbatchWarning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["demo", "forecast"]

# Scoring a second fit takes this many times the held-out rows to train it on.
MIN_TRAINING = 2
READ_ERRORS = (OSError, ValueError, ImportError)

Horizon = Annotated[
    int, typer.Option(min=1, help="Rows to look ahead; 5 is a week of trading days.")
]
Holdout = Annotated[
    int,
    typer.Option(
        min=0,
        help="Score a second fit on this many last rows, which it has not seen. "
        "0 skips it and saves its time.",
    ),
]


def demo(horizon: Horizon = 5, holdout: Holdout = 252) -> None:
    """Forecast 20 real stocks from prices that need no network."""

    def read() -> pd.DataFrame:
        from skbatch.datasets import load_sp500_prices

        return load_sp500_prices()

    with shown_to_users() as stages:
        result = _run(read, horizon, holdout, stages)
    report(result, stages.seconds)


def forecast(
    prices: Annotated[
        Path,
        typer.Argument(
            metavar="PRICES",
            help="CSV or Parquet file: wide (a column per ticker), long (a row per "
            "date and ticker), or as yfinance writes it.",
            show_default=False,
        ),
    ],
    horizon: Horizon = 5,
    output: Annotated[
        Path | None, typer.Option(help="CSV file for the forecasts.")
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="Use this field only, such as Close.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="Column of the dates.")] = None,
    ticker: Annotated[
        str | None,
        typer.Option(help="Column of the tickers; for a file of one ticker, its name."),
    ] = None,
    value: Annotated[
        str | None, typer.Option(help="Column of the prices in a long file.")
    ] = None,
    holdout: Holdout = 252,
) -> None:
    """Forecast the tickers of a file of prices."""

    def read() -> pd.DataFrame:
        from skbatch.panel import read_panel

        return read_panel(prices, field=field, date=date, ticker=ticker, value=value)

    with shown_to_users() as stages:
        if output is not None:
            _check_output(output, prices)
        result = _run(read, horizon, holdout, stages)
        if output is not None:
            _write(result.forecasts, output)
    report(result, stages.seconds)
    if output is not None:
        print(f"Written to {output}")


def _check_output(output: Path, prices: Path) -> None:
    """Raise before the work is done if its result cannot be written."""
    if output.suffix.lower() != ".csv":
        raise UserError(
            f"`--output` must end in .csv. Got '{output}'. Choose another name."
        )
    if not output.parent.is_dir():
        raise UserError(
            "`--output` must be in an existing folder. Got "
            f"'{output.parent}'. Make it first."
        )
    if output.exists() and prices.exists() and output.samefile(prices):
        raise UserError(
            "`--output` must not be the file of prices. "
            f"Got '{output}' for both. Choose another name."
        )


def _write(forecasts: pd.DataFrame, output: Path) -> None:
    try:
        forecasts.to_csv(output, index=False)
    except OSError as error:
        raise UserError(f"`--output` must be writable. Got {error}.") from error


def _run(
    read: Callable[[], pd.DataFrame], horizon: int, holdout: int, stages: Stages
) -> Result:
    """Go from prices to the forecasts of the last date, and score a second fit."""
    with stages.stage("start"):
        import skbatch.forecasting
        import skbatch.metrics  # noqa: F401
        from skbatch.feature_extraction import SharedFeatureExtractor
        from skbatch.panel import forward_returns
    try:
        with stages.stage("read"):
            panel = read()
            labels = forward_returns(panel, horizon)
    except READ_ERRORS as error:
        raise UserError(str(error)) from error
    with stages.stage("features"):
        features = SharedFeatureExtractor().fit_transform(panel)
    with stages.stage("fit"):
        model = _forecaster(stages).fit(features, labels)
    with stages.stage("forecast"):
        forecasts = _tabulate(model, features.iloc[[-1]])
    scores = ""
    if holdout:
        with stages.stage("hold-out"):
            scores = _score(features, labels, horizon, holdout, stages)
    return Result(panel, forecasts, scores)


def _forecaster(stages: Stages) -> Any:
    from skbatch.forecasting import (
        BatchLinearForecaster,
        BatchXGBoostForecaster,
        FallbackForecaster,
    )

    model = FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
    return model.set_callbacks(stages)


def _tabulate(model: Any, features: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the forecasts of one date, in the order of the panel."""
    import pandas as pd

    forecasts = model.predict(features).iloc[0]
    return pd.DataFrame(
        {
            "ticker": forecasts.index,
            "date": features.index[-1],
            "horizon": model.horizon_,
            "expected_return": forecasts.to_numpy(),
            "model": model.provenance_["model"].to_numpy(),
            "reason": model.provenance_["reason"].to_numpy(),
        }
    )


def _score(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    horizon: int,
    holdout: int,
    stages: Stages,
) -> str:
    """Score a second fit on the last rows, which it has not seen, and say it."""
    from skbatch.forecasting import HistoricalMeanForecaster
    from skbatch.metrics import out_of_sample_r2, rank_information_coefficient_series

    n_known = int(labels.iloc[: -holdout - horizon].notna().any(axis=1).sum())
    if holdout <= horizon or n_known < MIN_TRAINING * holdout:
        return (
            f"Not scored: {holdout} held-out rows must be more than the horizon, and "
            f"need {MIN_TRAINING} times as many rows to train on. There are {n_known}."
        )
    with warnings.catch_warnings():
        # The first fit has told what is wrong with the panel.
        warnings.simplefilter("ignore", SkbatchWarning)
        model = _forecaster(stages)
        model.fit(features.iloc[:-holdout], labels.iloc[:-holdout])
        mean = HistoricalMeanForecaster()
        mean.fit(features.iloc[:-holdout], labels.iloc[:-holdout])
    actual = labels.iloc[-holdout:]
    forecasts = model.predict(features.iloc[-holdout:])
    r2 = out_of_sample_r2(actual, forecasts)
    drift = out_of_sample_r2(actual, mean.predict(features.iloc[-holdout:]))
    scores = [
        f"an R² of {100 * r2:+.2f} % against forecasting zero (each ticker's "
        f"historical mean: {100 * drift:+.2f} %)"
    ]
    ranks = rank_information_coefficient_series(actual, forecasts).dropna()
    if len(ranks) > horizon:
        # Labels overlap: only every horizon-th date brings something new.
        error = ranks.std() / (len(ranks) / horizon) ** 0.5
        scores.insert(
            0, f"a rank IC of {ranks.mean():+.3f} (standard error {error:.3f})"
        )
    return (
        f"Held out: a second fit without the last {holdout} rows, scored on them, has "
        f"{' and '.join(scores)}. Returns are mostly noise: a rank IC within two "
        "standard errors of 0 is what chance gives, an R² below 0 is worse than "
        "forecasting nothing, and one that the mean reaches is the market's drift."
    )
