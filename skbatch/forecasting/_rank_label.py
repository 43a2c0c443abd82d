"""Labels that rank: each date's returns beyond beta, in the order that they have."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from skbatch._kernels.cross_section import normal_scores, row_mean
from skbatch.forecasting._common_return import Levels, blocks
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout

# A beta is drawn to the market's, as Blume (1975) does, and absurd ones are cut.
BETA_WEIGHT, BETA_BOUNDS = 0.67, (-1.0, 4.0)
# With fewer labels at a date, ranks carry next to no information.
MIN_LABELS = 5


def rank_labels(
    scaled: np.ndarray,
    unit: np.ndarray,
    levels: Levels,
    features: FeatureBlocks,
    layout: LabelLayout,
) -> np.ndarray:
    """Turn scaled labels into normal scores of returns beyond beta, date by date.

    Those relative to something else than the market have no more of it taken off.
    """
    names = features.columns.features
    wanted = [
        beta_names(features),
        nearest_windows("idiosyncratic_volatility", 63, names),
    ]
    beta, own = _ticker_features(wanted, features, layout)
    root = np.sqrt(np.asarray(layout.horizons, dtype=np.float64))
    out = np.empty(scaled.shape, np.float32)
    for rows in blocks(scaled):
        returns = scaled[rows] * unit[rows] * root
        known = np.isfinite(returns)
        exposure = _exposure(beta[rows], known, layout)
        for columns, common in levels.moving if levels.whole is None else ():
            excess = exposure[:, columns] - 1.0
            returns[:, columns] -= excess * common[rows, None]
        returns /= np.where(own[rows] > 0, own[rows], unit[rows]) * root
        out[rows] = _scores(returns, scaled[rows], layout)
    return out


def _exposure(beta: np.ndarray, known: np.ndarray, layout: LabelLayout) -> np.ndarray:
    """Compute betas relative to the mean over the tickers of a date; 1 if unknown."""
    shrunken = _shrunken(beta)
    horizons = np.asarray(layout.horizons)
    for horizon in np.unique(horizons):
        use = horizons == horizon
        mean = row_mean(np.where(known[:, use], shrunken[:, use], np.nan))
        mean = np.where(mean > 0, mean, 1.0)
        shrunken[:, use] /= mean[:, None]
    return shrunken


def _shrunken(beta: np.ndarray) -> np.ndarray:
    shrunken = (1.0 - BETA_WEIGHT) + BETA_WEIGHT * np.clip(beta, *BETA_BOUNDS)
    return np.where(np.isfinite(shrunken), shrunken, 1.0)


def beta_names(features: FeatureBlocks) -> list[str]:
    """List the features that hold a beta, the best one first."""
    return nearest_windows("beta", 252, features.columns.features)


def shrunken_betas(
    names: list[str], features: FeatureBlocks, layout: LabelLayout
) -> np.ndarray:
    """Read the beta of each label's ticker, drawn to the market's; 1 if unknown."""
    return _shrunken(_ticker_features([names], features, layout)[0])


def _scores(returns: np.ndarray, scaled: np.ndarray, layout: LabelLayout) -> np.ndarray:
    """Rank the labels of each date and horizon; dates with few labels keep theirs."""
    out = scaled.copy()
    horizons = np.asarray(layout.horizons)
    for horizon in np.unique(horizons):
        use = np.flatnonzero(horizons == horizon)
        enough = np.isfinite(returns[:, use]).sum(axis=1) >= MIN_LABELS
        cells = np.ix_(enough, use)
        out[cells] = normal_scores(returns[cells])
    return out


def _ticker_features(
    wanted: list[list[str]], features: FeatureBlocks, layout: LabelLayout
) -> np.ndarray:
    """Read the first of each list of features of each label's ticker, NaN without."""
    out = np.full((len(wanted), features.n_dates, len(layout.tickers)), np.nan, "f4")
    nearest = [names[:1] for names in wanted]
    read = [name for names in nearest for name in names]
    for dates, table in features.tables(features=read) if read else ():
        columns = table.series_columns(layout.tickers)
        for number, names in enumerate(nearest):
            for name in names:
                cells = columns[:, table.columns.features.index(name)]
                found = np.where(cells >= 0, table.values[:, cells], np.nan)
                out[number, dates] = found
        del table  # before the next block is computed
    return out


def nearest_windows(name: str, window: int, names: Iterable[str]) -> list[str]:
    """List the windows of a feature, the one nearest by ratio first."""
    windows = {
        feature: int(match.group(1))
        for feature in names
        if (match := re.fullmatch(rf"{name}_(\d+)", feature))
    }
    return sorted(windows, key=lambda feature: abs(np.log(windows[feature] / window)))
