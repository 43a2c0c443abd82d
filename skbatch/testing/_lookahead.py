"""A check that nothing at a date depends on prices after it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from skbatch.panel import check_panel, forward_returns
from skbatch.panel.engine import recorded_reach
from skbatch.testing._garbled_panels import own_copy
from skbatch.testing._leak_trials import (
    MakeLabels,
    Trial,
    fit_transform_trial,
    labels_trial,
    new_features_trial,
    new_forecasts_trial,
    refit_trial,
    transforms_alike,
)
from skbatch.testing._panel_cuts import Cut, draw_cuts
from skbatch.testing._planted_leaks import PeekingEstimator, TattlingEstimator
from skbatch.testing._table_difference import find_difference

# A trial of an estimator at a cut.
Build = Callable[[BaseEstimator, pd.DataFrame, Cut], Trial]


class LookAheadError(AssertionError):
    """A feature or forecast depends on prices after its date."""


def check_no_lookahead(
    estimator: BaseEstimator,
    prices: pd.DataFrame | ArrayLike,
    *,
    horizon: int | Sequence[int] = 1,
    delay: int = 0,
    purged: bool = False,
    n_cuts: int = 3,
    random_state: int = 0,
) -> None:
    """Check that no feature and no forecast depends on prices after its date.

    At random dates t, everything after t is replaced by garbage: rescaled, reversed,
    shuffled, missing, huge and constant prices, or no rows at all. The output of the
    estimator for dates up to t must stay the same, bit for bit.

    Parameters
    ----------
    estimator : estimator
        What to check; it is cloned, and has to be deterministic (set its
        `random_state`). One of

        - a transformer from prices to features, such as
          :class:`~skbatch.SharedFeatureExtractor`, or a pipeline of such;
        - a forecaster from prices and labels to forecasts, such as a pipeline that
          ends in a batch forecaster, or a :class:`~skbatch.BatchForecastingSystem`;
        - a search over such a forecaster, such as
          :class:`~sklearn.model_selection.GridSearchCV`, with `refit`.
    prices : DataFrame or array-like of shape (n_dates, n_tickers)
        Panel of prices, or one with fields (see :func:`~skbatch.check_panel`). Half
        of the rows have to be enough for finite features.
    horizon : int or sequence of int, default=1
        Horizon of the labels for forecasters, in rows.
    delay : int, default=0
        Their delay, in rows.
    purged : bool, default=False
        True if the labels that end after the training rows are left out before the fit,
        as ``TimeSeriesSplit(gap=horizon + delay)`` does. Then only what
        it makes of prices is checked, as for a plain regressor of scikit-learn, which
        cannot leave labels out by itself.
    n_cuts : int, default=3
        Number of random dates. A forecaster is fitted about six times for each.
    random_state : int, default=0
        Seed of dates and garbage.

    Raises
    ------
    LookAheadError
        If something changes. The message names the columns, the first date on which
        they change, the cut, the garbage, and what to look for.
    AssertionError
        If the check does not catch a version of the estimator that looks ahead on
        purpose: then it proves nothing about the estimator either.
    ValueError
        If the estimator is not deterministic, or gives no finite values on `prices`.
    PanelError
        If `prices` is malformed or has too few rows.
    TypeError
        If `estimator` is no estimator that can be checked.

    See Also
    --------
    check_batch_forecaster : The other promises of a batch forecaster.

    Notes
    -----
    For a *transformer*, two outputs are compared up to t: that of `fit_transform` on
    the whole panel, and that of `transform` on the rows after an earlier date s up to
    which it is fitted. A scaler that learns from all rows it is fitted on fails the
    first, rightly: its features are not those that were known at the time. Inside a
    forecaster's pipeline it may pass, as only forecasts count there. Where
    ``fit(X).transform(X)`` differs from ``fit_transform(X)`` in any bit, it is
    compared up to t as well; where they agree, one stands for both.

    For a *forecaster*, too: forecasts for rows after s, as in a test fold; and
    forecasts of models that are trained up to s on labels of the whole panel,
    ``forward_returns(prices, horizon, delay).iloc[:s + 1]``, as cross-validation
    gives them. The last ``horizon + delay`` of these labels end after s. A model that
    learns from them has seen the test fold, and is caught; also one that drops the
    last `horizon` only. Where it (or the last step of a pipeline) has
    `predict_quantiles`, its 5% and 95% quantiles are compared like the forecasts,
    for the new rows after s with whatever they learn from these rows themselves.
    Those are the bounds of 90% intervals, and scenarios and chances of ranks rest on
    the same distribution.

    A *search* is fitted up to s on the labels that are known at s, that is with the
    last ``horizon + delay`` rows missing; then the estimator it chose, with its
    parameters, is checked like any forecaster. The reason is that scikit-learn scores a
    candidate on all labels of an inner test fold, and the last of these folds ends at
    s: its last ``horizon + delay`` labels end later, and no `fit` can keep them from
    the choice. If you fit a search on an outer training fold, use the scorers of
    :func:`~skbatch.metrics.make_forecast_scorer`, which leave these labels out, or
    pass labels made from the prices of that fold alone. A search that is a step of a
    pipeline is not exempt: its choices show in the forecasts.

    A leak may show on some days only, such as Fridays. Features and forecasts of rows
    are therefore compared up to the four rows before t and, where the panel has dates,
    up to the three month ends nearest to t as well, each with rescaled prices after it.

    Back-filling shows only where something is missing. Therefore the first trials
    are repeated with some tickers' prices missing just before t, and with garbage
    soon after the first row, where windows are not full yet.

    Rows that are cut off may change rounding errors, as they change the order of
    sums; only there a relative difference of 1e-5 is forgiven. A ValueError, an
    ArithmeticError or a :class:`~skbatch.exceptions.ModelFitError` that the estimator
    raises on huge, constant or missing prices is no failure.

    Finally, the check itself is tested: the estimator gets prices that come a row too
    early, a forecaster also labels that come ``horizon + delay`` rows too early, and
    both must be detected. For an estimator that hardly depends on recent
    prices (or labels) they come earlier still, or are added to its output as a column.

    Warnings of the estimator are silenced, because garbage causes many of them.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skbatch.testing import check_no_lookahead
    >>> returns = np.random.default_rng(0).normal(0, 0.01, size=(60, 3))
    >>> prices = pd.DataFrame(np.exp(returns.cumsum(axis=0)), columns=list("ABC"))
    >>> check_no_lookahead(FunctionTransformer(lambda X: X.pct_change()), prices)
    >>> check_no_lookahead(FunctionTransformer(lambda X: X / X.mean()), prices)
    Traceback (most recent call last):
        ...
    skbatch.testing._lookahead.LookAheadError: FunctionTransformer looks ahead. ...
    """
    make_labels = partial(forward_returns, horizon=horizon, delay=delay)
    builds = _choose_trials(estimator, make_labels)
    panel = own_copy(check_panel(prices))
    longest = 1
    if "labels" in builds:
        longest = recorded_reach(make_labels(panel))
    if purged:
        builds.pop("labels", None)
    cuts = draw_cuts(panel.index, longest, n_cuts, random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, cut in enumerate(cuts):
            judged = _select(estimator, panel, cut, make_labels)
            if number == 0:
                _check_deterministic(judged, panel, cut, next(iter(builds.values())))
                if "fit" in builds and not transforms_alike(
                    judged, panel, cut, random_state
                ):
                    _check_deterministic(judged, panel, cut, refit_trial)
                    builds["refit"] = refit_trial
            for build in builds.values():
                leak = build(judged, panel, cut).find_leak(panel, random_state)
                if leak is not None:
                    name = type(estimator).__name__
                    raise LookAheadError(f"{name} looks ahead. {leak}")
        _check_check(judged, panel, cuts, builds, longest, random_state)


def _choose_trials(
    estimator: BaseEstimator, make_labels: MakeLabels
) -> dict[str, Build]:
    """Choose the trials by what the estimator can do."""
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            "`estimator` must be an instance with `fit`. Got "
            f"{estimator!r}. Pass an unfitted estimator, such as a Pipeline."
        )
    if hasattr(estimator, "predict"):
        return {
            "rows": partial(new_forecasts_trial, make_labels=make_labels),
            "labels": partial(labels_trial, make_labels=make_labels),
        }
    if hasattr(estimator, "transform"):
        return {"fit": fit_transform_trial, "rows": new_features_trial}
    raise TypeError(
        "`estimator` must have `transform` or `predict`. Got "
        f"{type(estimator).__name__}. Pass a transformer or forecaster of prices; a "
        "search needs `refit=True`."
    )


def _select(
    estimator: BaseEstimator,
    panel: pd.DataFrame,
    cut: Cut,
    make_labels: MakeLabels,
) -> BaseEstimator:
    """Let a search choose by what is known at the cut; others are judged themselves."""
    if not {"estimator", "cv", "refit"} <= estimator.get_params(deep=False).keys():
        return estimator
    past = panel.iloc[: cut.fitted + 1]
    search = clone(estimator).fit(past, make_labels(past))
    return clone(search.best_estimator_)


def _check_deterministic(
    estimator: BaseEstimator, panel: pd.DataFrame, cut: Cut, build: Build
) -> None:
    """Raise unless two fits give the same output."""
    first, second = (build(estimator, panel, cut).output(panel) for _ in range(2))
    difference = find_difference(first, second, first.index)
    if difference is not None:
        raise ValueError(
            "`estimator` must be deterministic: two fits on the same prices must agree "
            f"bit for bit. Got {difference}. Set its `random_state`."
        )


def _check_check(
    estimator: BaseEstimator,
    panel: pd.DataFrame,
    cuts: list[Cut],
    builds: dict[str, Build],
    reach: int,
    seed: int,
) -> None:
    """Raise unless every trial catches an estimator that looks ahead on purpose."""
    for name, build in builds.items():
        labels = reach if name == "labels" else 0
        if any(
            build(planted, panel, cut).find_leak(panel, seed)
            for cut in cuts
            for planted in _plant(estimator, labels, len(panel) - 1 - cut.last)
        ):
            continue
        raise AssertionError(
            "The check must be able to fail, or it proves nothing. Got no change of "
            f"the output of {type(estimator).__name__} after a look ahead was planted "
            "in it. Pass other or longer prices."
        )


def _plant(
    estimator: BaseEstimator, label_rows: int, n_later: int
) -> Iterator[BaseEstimator]:
    """Create versions of the estimator that look ahead, the most natural one first."""
    if label_rows:
        yield PeekingEstimator(estimator, label_rows=label_rows)
    else:
        yield PeekingEstimator(estimator, price_rows=1)
        # One row is not enough for features that skip the latest rows.
        yield PeekingEstimator(estimator, price_rows=n_later)
    yield TattlingEstimator(estimator, label_rows=label_rows)
