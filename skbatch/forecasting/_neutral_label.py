"""Returns relative to beta times the market, to groups, or to exposures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skbatch._kernels.neutral import explained
from skbatch._kernels.threads import slices
from skbatch._messages import format_tickers
from skbatch.forecasting._common_return import BLOCK_CELLS, Levels
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._rank_label import beta_names, shrunken_betas
from skbatch.panel.engine import CATEGORY, GROUPING

Relative = bool | str | Sequence[str]


def describe_relative(relative: Relative, market: str = "the market") -> str:
    """Put what labels are relative to into words."""
    if isinstance(relative, bool):
        return market if relative else "its historical mean"
    if isinstance(relative, str):
        return f"beta × {market}" if relative == "beta" else "the mean of its group"
    *others, last = relative
    if not others:
        return f"what {last} explains"
    return f"what {', '.join(others)} and {last} explain"


def neutral_levels(
    relative: Relative,
    labels: np.ndarray,
    levels: Levels,
    features: FeatureBlocks,
    layout: LabelLayout,
    weights: np.ndarray | None,
) -> np.ndarray | None:
    """Find what each label `(n_dates, n_labels)` is relative to, if not the market."""
    if isinstance(relative, bool):
        return None
    whole = np.tile(levels.constant, (len(labels), 1))
    if relative == "beta":
        names = beta_names(features)
        if not names:
            raise _lacking(relative, "a feature beta_N", features)
        betas = shrunken_betas(names, features, layout)
        for columns, common in levels.moving:
            whole[:, columns] = betas[:, columns] * common[:, None]
        return whole
    if features.universe is not None:
        raise ValueError(
            "relative must be True, False or 'beta' where tickers are fitted in "
            f"batches, which do not see each other. Got {relative!r}. Fit all tickers "
            "together: strategy='pooled' without groups of the system."
        )
    names = [_group_name(features)] if relative == "group" else list(relative)
    numbers, codes = _read(names, relative, features, layout)
    size = max(1, BLOCK_CELLS // (labels.shape[1] * (1 + len(numbers))))
    for columns, _ in levels.moving:
        for rows in slices(len(labels), size):
            cells = rows, columns
            whole[cells] = explained(
                labels[cells],
                [values[cells] for values in numbers],
                None if codes is None else codes[cells],
                None if weights is None else weights[cells],
            )
    return whole


def _group_name(features: FeatureBlocks) -> str:
    """Find the only grouping of a frame, or else its only category."""
    marks = [name for name in features.columns.marks if name.endswith(GROUPING)]
    found = marks or list(features.columns.categories)
    if len(found) != 1:
        raise ValueError(
            "relative='group' must find one grouping in X: `groups` of "
            "SharedFeatureExtractor, or a signal that is a category. Got "
            f"{format_tickers(found) or 'none'}. "
            + ("Choose with a list." if found else "Add it.")
        )
    return found[0]


def _read(
    names: list[str], relative: Any, features: FeatureBlocks, layout: LabelLayout
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Read exposures, those of categories as 0 and 1, but for the first's codes."""
    numbers: list[np.ndarray] = []
    codes = None
    for name in names:
        column = _column_name(name, features)
        if column is None:
            raise _lacking(relative, f"a ticker feature or grouping {name!r}", features)
        values = features.own_feature(column, layout.tickers)
        if not column.endswith((CATEGORY, GROUPING)):
            numbers.append(values)
            continue
        known = np.unique(values[np.isfinite(values)])
        places = np.searchsorted(known, values)
        if codes is None:
            codes = np.where(np.isfinite(values), places, -1)
        else:
            missing = np.where(np.isfinite(values), 0.0, np.nan)
            numbers += [missing + (places == place) for place in range(1, len(known))]
    return numbers, codes


def _column_name(name: str, features: FeatureBlocks) -> str | None:
    """Find a feature, grouping or category by its name, with or without the suffix."""
    known = {*features.columns.features, *features.columns.marks}
    candidates = (name, f"{name}{GROUPING}", f"{name}{CATEGORY}")
    return next((found for found in candidates if found in known), None)


def _lacking(relative: Any, what: str, features: FeatureBlocks) -> ValueError:
    names = [*features.columns.features, *features.columns.marks]
    return ValueError(
        f"relative={relative!r} must find {what} in X. Got "
        f"{format_tickers(names) or 'no ticker features'}. Add it to the features, or "
        "pass relative=True."
    )
