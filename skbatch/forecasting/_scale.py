"""The volatility that labels are scaled by, and the market they are relative to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch._kernels.target import common_return, standard_deviation
from skbatch.exceptions import PanelError
from skbatch.forecasting._tables import FeatureTable, LabelLayout

__all__ = [
    "MAX_SCALED_LABEL",
    "LabelScale",
    "bounded",
    "market_return",
    "volatility_features",
]

# Labels are winsorised at so many volatilities. Otherwise single crashes would own
# the trees, and one price that is off by a factor of 100, as real data has them,
# would move the mean over 500 tickers by 20 %.
MAX_SCALED_LABEL = 5.0


def volatility_features(names: Iterable[str]) -> list[str]:
    """List the features that hold a ticker's own volatility, the best one first.

    Parameters
    ----------
    names : iterable of str
        Names of ticker features.

    Returns
    -------
    list of str
        Those called ``volatility_WINDOW``, by how near the window is to 63 by ratio. A
        quarter of a year is the usual compromise between noise and staleness; other
        windows step in where a ticker is too young for it.
    """
    windows = {
        name: int(match.group(1))
        for name in names
        if (match := re.fullmatch(r"volatility_(\d+)", name))
    }
    return sorted(windows, key=lambda name: abs(np.log(windows[name] / 63)))


def bounded(labels: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Winsorise labels at five of their units, where these are known."""
    bound = MAX_SCALED_LABEL * np.where(np.isfinite(unit), unit, np.inf)
    return np.clip(labels, -bound, bound)


def market_return(labels: pd.DataFrame, volatility: np.ndarray | None) -> pd.DataFrame:
    """Compute the return of the market that follows each date.

    Parameters
    ----------
    labels : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_labels)
        Labels from :func:`~skbatch.forward_returns`, of all tickers of a universe.
    volatility : ndarray of shape (n_dates, n_tickers) or None
        Volatility per row, NaN where unknown. None takes the standard deviation of
        each ticker's labels.

    Returns
    -------
    DataFrame of shape (n_dates, n_horizons)
        Equal-weighted mean of the winsorised labels of each date, a column per horizon;
        NaN in the last rows, of which the return is not known, and on dates with fewer
        than two tickers. Forecasters of some of the tickers take it as their
        `market_return`, and are then relative to the same market as one of them all.
    """
    if isinstance(labels.columns, pd.MultiIndex):
        level = labels.columns.get_level_values(0)
    else:
        level = pd.Index([labels.attrs["horizon"]] * labels.shape[1])
    table = {}
    for horizon in level.unique():
        use = np.asarray(level == horizon)
        values = labels.to_numpy()[:, use].astype(np.float64)
        values[max(0, len(values) - horizon) :] = np.nan
        if volatility is None:
            unit = np.broadcast_to(standard_deviation(values), values.shape)
        else:
            unit = volatility * np.sqrt(float(horizon))
        table[horizon] = common_return(bounded(values, unit))
    return pd.DataFrame(table, index=labels.index)


@dataclass
class LabelScale:
    """How the volatility per row of each label is found.

    Attributes
    ----------
    features : list of str
        Ticker features that hold it, the best one first; empty for a constant.
    own : ndarray of shape (n_labels, n_features)
        Columns of each label's own features.
    constant : ndarray of shape (n_labels,)
        Scale per row where there is no such feature.
    """

    features: list[str]
    own: np.ndarray
    constant: np.ndarray

    @classmethod
    def choose(
        cls,
        scale: str | None,
        features: FeatureTable,
        labels: np.ndarray,
        layout: LabelLayout,
    ) -> LabelScale:
        """Choose the features by the parameter `scale` of the forecasters."""
        names = features.columns.features
        own = features.series_columns(layout.tickers)
        if scale is None or not own.shape[1]:
            chosen: list[str] = []
        elif scale == "auto":
            chosen = volatility_features(names)
        elif scale in names:
            chosen = [scale]
        else:
            raise ValueError(
                f"scale must be 'auto', None or a ticker feature of X. Got "
                f"{scale!r}. X has {', '.join(names[:5])}, …."
            )
        root_horizon = np.sqrt(np.asarray(layout.horizons, dtype=np.float64))
        deviation = 1.0 if scale is None else standard_deviation(labels)
        for name in chosen:
            numbers = own[:, names.index(name)]
            if (features.values[:, numbers[numbers >= 0]] < 0).any():
                raise PanelError(
                    f"The volatilities of X, {name!r}, must not be negative. Got "
                    "features that look standardised. Leave out the scaler, which "
                    "no forecaster here needs, or pass scale=None."
                )
        return cls(chosen, own, deviation / root_horizon)

    def matrix(self, features: FeatureTable) -> np.ndarray:
        """Volatility per row `(n_dates, n_labels)`; NaN where unknown or zero."""
        if not self.features:
            scale = np.where(self.constant > 0, self.constant, np.nan)
            return np.broadcast_to(scale, (features.n_dates, len(scale))).copy()
        scale = np.full((features.n_dates, len(self.own)), np.nan)
        for name in self.features:
            numbers = self.own[:, features.columns.features.index(name)]
            candidate = np.where(numbers >= 0, features.values[:, numbers], np.nan)
            scale = np.where(scale > 0, scale, candidate)
        return np.where(scale > 0, scale, np.nan)
