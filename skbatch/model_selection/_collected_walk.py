"""The refits of a walk, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch.forecasting.engine import NO_MODEL
from skbatch.model_selection._ranking_rules import RANKING_RULES
from skbatch.model_selection._refit import FoldForecast, Source
from skbatch.model_selection._refit_schedule import Fold
from skbatch.model_selection._walk_forward_result import WalkForwardResult
from skbatch.panel.engine import find_members, panel_fields, panel_tickers

# A forecaster of feature frames, or the name of a rule.
Benchmark: TypeAlias = BaseEstimator | str


def collect_walk(
    name: str,
    results: dict[str, list[FoldForecast]],
    rivals: Mapping[str, Benchmark],
    source: Source,
    folds: list[Fold],
) -> WalkForwardResult:
    """Combine the refits."""
    own = results[""]
    panel, index = source.panel, source.panel.index
    fields, tickers = panel_fields(panel), pd.Index(panel_tickers(panel))
    kept = {
        name: pd.DataFrame(fields[name], index, tickers)
        for name in ("close", "volume")
        if name in fields
    }
    closes = kept["close"]
    members = None
    if source.universe is not None:
        inside = find_members(panel, source.universe)
        members = pd.DataFrame(inside, index, closes.columns)
        members = members.iloc[folds[0].test_start :]
    provenance = pd.concat([forecast.provenance for forecast in own])
    forecasts = pd.concat([forecast.forecasts for forecast in own])
    rules = {rival: rule for rival, rule in rivals.items() if isinstance(rule, str)}
    return WalkForwardResult(
        name=name,
        horizon=source.horizon,  # type: ignore[arg-type]
        delay=source.delay,
        forecasts=forecasts,
        benchmarks={
            rival: _rank_by(rules[rival], closes, forecasts, members)
            if rival in rules
            else pd.concat([forecast.forecasts for forecast in results[rival]])
            for rival in rivals
        },
        closes=closes.iloc[folds[0].test_start :],
        prices=pd.concat(kept, axis=1) if len(kept) > 1 else closes,
        provenance=provenance,
        refits=_table_of_refits(own, folds, index),
        reasons=_table_of_reasons(own, folds, index),
        first_choice=tuple(dict.fromkeys(n for f in own for n in f.first_choice)),
        estimator=own[-1].estimator,
        ranking_rules=tuple(rules),
        quantiles=_joined_quantiles(own, forecasts),
        members=members,
        delisting_return=source.delisting_return,
        attrs={
            "n_rows": len(panel),
            "n_tickers": closes.shape[1],
            "shared_features": source.features is not None,
        },
    )


def _rank_by(
    rule: str,
    closes: pd.DataFrame,
    forecasts: pd.DataFrame,
    members: pd.DataFrame | None,
) -> pd.DataFrame:
    """Lay the scores of a rule out like forecasts, the same for all horizons."""
    scores = RANKING_RULES[rule](closes).loc[forecasts.index]
    if members is not None:
        scores = scores.where(members)
    tickers = forecasts.columns.get_level_values(-1)
    return scores[tickers].set_axis(forecasts.columns, axis=1)


def _joined_quantiles(
    own: list[FoldForecast], forecasts: pd.DataFrame
) -> dict[float, pd.DataFrame]:
    """Put quantiles one after the other, NaN where a refit has none."""
    return {
        level: pd.concat([f.quantiles[level] for f in own if f.quantiles]).reindex_like(
            forecasts
        )
        for level in next((f.quantiles for f in own if f.quantiles), ())
    }


def _table_of_refits(
    own: list[FoldForecast], folds: list[Fold], index: pd.Index
) -> pd.DataFrame:
    """Tabulate windows, times and fallback of each refit."""
    rows = [
        {
            "train_start": index[fold.train_start],
            "train_end": index[fold.train_stop - 1],
            "n_train_rows": fold.train_stop - fold.train_start,
            "test_end": index[fold.test_stop - 1],
            "n_test_rows": fold.test_stop - fold.test_start,
            "fit_seconds": forecast.fit_seconds,
            "predict_seconds": forecast.predict_seconds,
            "fallback_rate": fallback_rate(forecast.provenance, forecast.first_choice),
        }
        for fold, forecast in zip(folds, own, strict=True)
    ]
    first = pd.Index([index[fold.test_start] for fold in folds], name="refit")
    return pd.DataFrame(rows, first)


def fallback_rate(provenance: pd.DataFrame, first_choice: Sequence[str]) -> float:
    """Share of the forecasts that are not of the first choice."""
    names = provenance.to_numpy()
    given = names != NO_MODEL
    others = given & ~np.isin(names.astype(str), first_choice)
    return float(others.sum() / given.sum()) if given.any() else float("nan")


def _table_of_reasons(
    own: list[FoldForecast], folds: list[Fold], index: pd.Index
) -> pd.DataFrame:
    """Stack the reasons of all refits."""
    tables = {
        index[fold.test_start]: forecast.reasons
        for fold, forecast in zip(folds, own, strict=True)
    }
    names = ["refit", *own[0].forecasts.columns.names]
    names = [name or "ticker" for name in names]
    return pd.concat(tables, names=names)
