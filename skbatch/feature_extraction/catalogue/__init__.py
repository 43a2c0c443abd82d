"""The built-in features, one file per topic; the imports give the order of columns."""

from skbatch.feature_extraction.catalogue import (  # noqa: I001
    _returns,
    _volatility,
    _trend,
    _oscillators,
    _relative,
    _range,
    _volume,
    _rank,
    _group,
    _market,
    _calendar,
)

__all__ = [
    "_calendar",
    "_group",
    "_market",
    "_oscillators",
    "_range",
    "_rank",
    "_relative",
    "_returns",
    "_trend",
    "_volatility",
    "_volume",
]
