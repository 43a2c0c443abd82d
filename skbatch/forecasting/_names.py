"""Whether the names of labels and features belong together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from skbatch._messages import count, format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.panel.engine import MARKET, SEPARATOR


def check_names(y: Any, tickers: Sequence[str | None], features: FeatureBlocks) -> None:
    """Raise if the names of features do not match the tickers of the labels."""
    columns = features.columns
    labels = {ticker for ticker in tickers if ticker is not None}
    if features.names is None and not columns.tickers and _names_tickers(y):
        raise PanelError(
            "X must have columns named TICKER__feature where y has tickers. Got "
            f"{count(features.n_columns, 'column')} without such names, which would be "
            "taken as features that all tickers share: a step after the extractor, "
            "such as a scaler, may have returned an array. Call "
            '`set_output(transform="pandas")` on the pipeline or step, or pass y as an '
            "array, too."
        )
    prices = [name for name in columns.shared if name in labels]
    if prices:
        raise PanelError(
            "X must hold features. Got columns named as the tickers of y: "
            f"{format_tickers(prices)}, as tables of prices have. Pass "
            "`SharedFeatureExtractor().fit_transform(prices)`, or give the prices to "
            "BatchForecastingSystem."
        )
    _check_affixes(columns.tickers, labels)
    if not columns.tickers:
        _check_shared(columns.shared, y, features)
        return
    with_features = set(columns.tickers)
    unknown = [ticker for ticker in tickers if ticker not in with_features]
    if unknown:
        named = [ticker for ticker in unknown if ticker is not None]
        raise PanelError(
            "y must have columns named as the tickers of X. Got labels without "
            f"features: {format_tickers(named) or f'{len(unknown)} unnamed'}. X has "
            f"{format_tickers(columns.tickers)}. Create both from the same prices."
        )


def _names_tickers(y: Any) -> bool:
    """Whether the columns of labels are named; a name of a Series may be any."""
    if isinstance(y, pd.Series):
        return isinstance(y.name, str) and "horizon" in y.attrs
    if not isinstance(y, pd.DataFrame):
        return False
    return all(isinstance(name, str) for name in y.columns.get_level_values(-1))


def _check_affixes(tickers: Sequence[str], labels: Collection[str]) -> None:
    """Reject names to which a step has added a prefix or suffix."""
    for ticker in tickers:
        if ticker in labels or SEPARATOR not in ticker:
            continue
        parts = ticker.split(SEPARATOR)
        ends = {SEPARATOR.join(parts[n:]) for n in range(1, len(parts))}
        starts = {SEPARATOR.join(parts[:n]) for n in range(1, len(parts))}
        if ends & {*labels, MARKET} or starts & {*labels, MARKET}:
            raise PanelError(
                "X must have columns named TICKER__feature. Got names with one more "
                f"part, such as {ticker + SEPARATOR}…, as FeatureUnion and "
                "ColumnTransformer make them. Set `verbose_feature_names_out=False` "
                "there; where that would repeat a name, rename the features in one of "
                "the parts, such as AAPL__return_5_scaled."
            )


def _check_shared(shared: Sequence[str], y: Any, features: FeatureBlocks) -> None:
    """Raise on features of the market only, and describe others that name no ticker."""
    # Without a feature of its own, it is not visible that a ticker stopped trading.
    if any(name.startswith(MARKET + SEPARATOR) for name in shared):
        raise PanelError(
            "X must have a feature of each ticker. Got a feature frame with "
            f"columns of the market only: {format_tickers(shared)}. Add a "
            "family of ticker features, such as 'returns'."
        )
    if features.names is not None and _names_tickers(y) and y.ndim > 1:
        warn_user(
            "X should have columns named TICKER__feature where y has tickers. Got only "
            f"names without a ticker: {format_tickers(shared)}. They are taken as "
            "features that all tickers share. Leave out steps that mix the features "
            "of tickers, such as PCA, or ignore this warning.",
            PanelWarning,
        )
