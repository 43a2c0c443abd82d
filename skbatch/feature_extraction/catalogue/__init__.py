"""The built-in features, one file per topic; the imports give the order of columns."""

from skbatch.feature_extraction.catalogue import (  # noqa: I001
    _returns_features,
    _volatility_features,
    _trend_features,
    _oscillators_features,
    _relative_features,
    _range_features,
    _volume_features,
    _rank_features,
    _group_features,
    _market_features,
    _calendar_features,
    _anomalies_features,
)

__all__ = [
    "_anomalies_features",
    "_calendar_features",
    "_group_features",
    "_market_features",
    "_oscillators_features",
    "_range_features",
    "_rank_features",
    "_relative_features",
    "_returns_features",
    "_trend_features",
    "_volatility_features",
    "_volume_features",
]
