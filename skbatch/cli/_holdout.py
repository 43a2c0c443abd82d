"""How good the forecasts of the last rows would have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sklearn.base import clone

from skbatch._messages import silence_warnings
from skbatch.exceptions import SkbatchWarning
from skbatch.forecasting import HistoricalMeanForecaster
from skbatch.metrics import out_of_sample_r2, rank_information_coefficient_series
from skbatch.panel import forward_returns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["score"]

# Scoring a second fit takes this many times the held-out rows to train it on.
MIN_TRAINING = 2


def score(panel: pd.DataFrame, system: Any, holdout: int) -> str:
    """Score a second fit on the last rows, which it has not seen, and say it."""
    several = system.horizon_ if isinstance(system.horizon_, tuple) else ()
    horizon = max(several or (system.horizon_,))
    labels = forward_returns(panel, system.horizon)
    n_known = int(labels.iloc[: -holdout - horizon].notna().any(axis=1).sum())
    if holdout <= horizon or n_known < MIN_TRAINING * holdout:
        return (
            f"Not scored: {holdout} held-out rows must be more than the horizon, and "
            f"need {MIN_TRAINING} times as many rows to train on. There are {n_known}."
        )
    actual, rows = labels.iloc[-holdout:], panel.iloc[-holdout:]
    second = clone(system).set_params(checkpoint_dir=None)
    with silence_warnings(SkbatchWarning):
        # The first fit has told what is wrong with the panel.
        forecasts = second.fit(panel.iloc[:-holdout]).predict(rows)
        mean = clone(second).set_params(forecaster=HistoricalMeanForecaster())
        drifts = mean.fit(panel.iloc[:-holdout]).predict(rows)
    if several:
        scores = "; ".join(
            f"{n} rows ahead, {_scores(actual[n], forecasts[n], drifts[n], n)}"
            for n in several
        )
    else:
        scores = _scores(actual, forecasts, drifts, horizon)
    return (
        f"Held out: a second fit without the last {holdout} rows, scored on them, has "
        f"{scores}. Returns are mostly noise: a rank IC within two standard errors of "
        "0 is what chance gives, an R² below 0 is worse than forecasting nothing, and "
        "one that the mean reaches is the market's drift."
    )


def _scores(
    actual: pd.DataFrame, forecasts: pd.DataFrame, drifts: pd.DataFrame, horizon: int
) -> str:
    """Score forecasts of one horizon in words."""
    r2 = out_of_sample_r2(actual, forecasts)
    drift = out_of_sample_r2(actual, drifts)
    text = (
        f"an R² of {100 * r2:+.2f} % against forecasting zero (each ticker's "
        f"historical mean: {100 * drift:+.2f} %)"
    )
    series = rank_information_coefficient_series(actual, forecasts)
    ranks = cast("pd.Series", series).dropna()
    if len(ranks) <= horizon:
        return text
    # Labels overlap: only every horizon-th date brings something new.
    error = ranks.std() / (len(ranks) / horizon) ** 0.5
    return f"a rank IC of {ranks.mean():+.3f} (standard error {error:.3f}) and {text}"
