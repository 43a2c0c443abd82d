"""How good the forecasts of the last rows would have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sklearn.base import clone

from skbatch._messages import count, silence_warnings
from skbatch.exceptions import SkbatchWarning
from skbatch.forecasting import HistoricalMeanForecaster
from skbatch.metrics import out_of_sample_r2, rank_information_coefficient_series
from skbatch.panel import forward_returns
from skbatch.panel.engine import recorded_reach

if TYPE_CHECKING:
    import pandas as pd

# Times the held-out rows that the second model needs to train on.
MIN_TRAINING = 2


def score(panel: pd.DataFrame, system: Any, holdout: int) -> dict[str, Any]:
    """Score a second fit on the last rows, which it has not seen."""
    several = system.horizon_ if isinstance(system.horizon_, tuple) else ()
    labels = forward_returns(
        panel,
        system.horizon_,
        system.delay_,
        delisting_return=system.delisting_return,
    )
    reach = recorded_reach(labels)
    n_known = int(labels.iloc[: -holdout - reach].notna().any(axis=1).sum())
    if holdout <= reach or n_known < MIN_TRAINING * holdout:
        reason = (
            f"a hold-out of {count(holdout, 'row')} must be longer than horizon plus "
            f"delay, and needs {MIN_TRAINING * holdout} earlier rows with known "
            f"returns to train on. Got {n_known}. Pass a smaller --holdout, or a "
            "longer history."
        )
        return {"rows": holdout, "scores": [], "reason": reason}
    actual, rows = labels.iloc[-holdout:], panel.iloc[-holdout:]
    second = clone(system).set_params(checkpoint_dir=None)
    with silence_warnings(SkbatchWarning):
        # The first fit has already warned about the panel.
        forecasts = second.fit(panel.iloc[:-holdout]).predict(rows)
        mean = clone(second).set_params(forecaster=HistoricalMeanForecaster())
        drifts = mean.fit(panel.iloc[:-holdout]).predict(rows)
    tables = actual, forecasts, drifts
    scores = [_scores(*(table[n] for table in tables), horizon=n) for n in several]
    scores = scores or [_scores(*tables, horizon=system.horizon_)]
    return {"rows": holdout, "scores": scores}


def _scores(
    actual: pd.DataFrame, forecasts: pd.DataFrame, drifts: pd.DataFrame, *, horizon: int
) -> dict[str, Any]:
    """Score forecasts of one horizon; None where there is no score."""
    series = rank_information_coefficient_series(actual, forecasts)
    ranks = cast("pd.Series", series).dropna()
    known = len(ranks) > horizon
    # Labels overlap: only every horizon-th date is independent.
    error = ranks.std() / (len(ranks) / horizon) ** 0.5 if known else None
    return {
        "horizon": horizon,
        "rank_ic": float(ranks.mean()) if known else None,
        "standard_error": error,
        "r2": out_of_sample_r2(actual, forecasts),
        "historical_mean_r2": out_of_sample_r2(actual, drifts),
    }


def describe(held_out: dict[str, Any]) -> str:
    """Put scores into words."""
    if not held_out["scores"]:
        return f"Not scored: {held_out['reason']}"
    texts = []
    for found in held_out["scores"]:
        text = (
            f"an R² of {100 * found['r2']:+.2f}% against forecasting zero (each "
            f"ticker's historical mean: {100 * found['historical_mean_r2']:+.2f}%)"
        )
        if found["rank_ic"] is not None:
            error = f"standard error {found['standard_error']:.3f}"
            text = f"a rank IC of {found['rank_ic']:+.3f} ({error}) and {text}"
        several = len(held_out["scores"]) > 1
        ahead = f"{count(found['horizon'], 'row')} ahead"
        texts.append(f"{ahead}, {text}" if several else text)
    return (
        f"Hold-out: a second model, fitted without the last {held_out['rows']} rows "
        f"and scored on them, has {'; '.join(texts)}. Returns are mostly noise: a rank "
        "IC within two standard errors of 0 is not statistically significant, an R² "
        "below 0 is worse than forecasting zero, and if the historical mean scores as "
        "well, the R² only reflects market drift."
    )
