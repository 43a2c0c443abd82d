"""Features of the whole panel, where they are those of every fold."""

from __future__ import annotations

import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skbatch._messages import collect_warnings
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.model_selection._refit_schedule import Fold


def extractor_of(estimator: BaseEstimator) -> SharedFeatureExtractor | None:
    """Return the first step of a pipeline that goes from prices to a forecaster."""
    if not isinstance(estimator, Pipeline) or len(estimator.steps) < 2:
        return None
    first = estimator.steps[0][1]
    return first if isinstance(first, SharedFeatureExtractor) else None


def find_extractor(estimator: BaseEstimator) -> SharedFeatureExtractor:
    """Find the extractor whose features the benchmarks share with an estimator."""
    for value in estimator.get_params(deep=True).values():
        if isinstance(value, SharedFeatureExtractor):
            return value
    return SharedFeatureExtractor()


def share_features(
    extractor: SharedFeatureExtractor, panel: pd.DataFrame, folds: list[Fold]
) -> tuple[pd.DataFrame | None, SharedFeatureExtractor | None]:
    """Compute the features of the whole panel, if each fold would get the same."""
    # With them comes the extractor that was fitted on the whole panel.
    # That cannot be known of subclasses, of functions of the user, which may look
    # ahead or further back than they declare, and of panels with holes.
    own_code = extractor.functions or callable(extractor.universe)
    if type(extractor) is not SharedFeatureExtractor or own_code:
        return None, None
    whole = clone(extractor)
    frame = whole.fit_transform(panel)
    with collect_warnings():
        # What only the first fold lacks is reported when its model is fitted.
        same = (
            isinstance(frame, pd.DataFrame)
            and whole.history_.is_whole(panel.index[:0])
            and all(_is_same(extractor, whole, panel, fold) for fold in folds)
        )
    return (frame, whole) if same else (None, None)


def _is_same(
    extractor: SharedFeatureExtractor,
    whole: SharedFeatureExtractor,
    panel: pd.DataFrame,
    fold: Fold,
) -> bool:
    """Return whether a fold's own extractor has the same columns and no holes."""
    own = clone(extractor).fit(panel.iloc[: fold.train_stop])
    columns = own.plan_.columns()
    return bool(
        len(columns) == whole.plan_.n_columns
        and (columns == whole.plan_.columns()).all()
        and own.history_.is_whole(panel.index[fold.train_stop : fold.test_stop])
    )
