"""What a batch forecaster promises about tables, methods and scikit-learn's ways.

The name of a rule is the name of its function, and its promise the docstring: both
are shown to the user whose forecaster breaks it.
"""

from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score

from skbatch.testing._label_rules import BrokenRuleError, require_equal
from skbatch.testing._synthetic_case import Case, fit, fixed_horizons, make_case


def parameters_are_kept(forecaster: BaseEstimator, case: Case) -> None:
    """Keep parameters through `clone` and `fit`; return the estimator from `fit`."""
    copy = clone(forecaster)
    before = joblib.hash(copy.get_params())
    returned = copy.fit(case.X, case.y)
    if returned is not copy:
        raise BrokenRuleError(
            f"Got {type(returned).__name__} from `fit`. End it with `return self`."
        )
    if joblib.hash(copy.get_params()) != before:
        raise BrokenRuleError(
            "Got other parameters after `fit`. Store arguments untouched, and fit "
            "clones of estimators among them."
        )


def forecasts_are_a_table_like_the_labels(
    forecaster: BaseEstimator, case: Case
) -> None:
    """Return a DataFrame with the rows of `X` and the columns of `y`, if it is one."""
    X = case.X.iloc[-7:]
    forecasts = fit(forecaster, case).predict(X)
    if not isinstance(forecasts, pd.DataFrame):
        raise BrokenRuleError(
            f"Got {type(forecasts).__name__}. Return a DataFrame when `y` was one."
        )
    for got, wanted, what in (
        (forecasts.index, X.index, "index of `X`"),
        (forecasts.columns, case.y.columns, "columns of `y`"),
    ):
        if not got.equals(wanted):
            raise BrokenRuleError(
                f"Got {list(got[:5])} instead of the {what}, {list(wanted[:5])}. Give "
                "forecasts the labels of their input."
            )
    if not np.isfinite(forecasts.to_numpy(dtype=np.float64)).all():
        raise BrokenRuleError(
            "Got missing forecasts although all features are known and all tickers "
            "have labels. Forecast every ticker that can be."
        )


def several_horizons_are_forecast(forecaster: BaseEstimator, case: Case) -> None:
    """Forecast every horizon, if labels have the columns (horizon, ticker)."""
    if fixed_horizons(forecaster):
        return
    several = make_case(forecaster, several_horizons=True)
    forecasts_are_a_table_like_the_labels(forecaster, several)
    expected = fit(forecaster, several).predict(several.X)
    garbage = np.where(several.known, several.y, 9.0)
    got = fit(forecaster, several.with_labels(garbage)).predict(several.X)
    require_equal(
        expected,
        got,
        several.X.index,
        "when the last labels of each horizon, not known yet, were huge",
        "In `fit`, drop as many of the last labels of a column as its horizon is long.",
    )


def arrays_give_arrays(forecaster: BaseEstimator, case: Case) -> None:
    """Return an array, a vector or a Series, if the labels are one."""
    X, y = case.X.to_numpy(), case.y.to_numpy()
    kinds: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
        "an array": (X, y, y.shape),
        "a vector": (X, y[:, 0], y.shape[:1]),
        "a Series": (case.X, case.y["AAA"], y.shape[:1]),
    }
    for name, (features, labels, shape) in kinds.items():
        forecasts = clone(forecaster).fit(features, labels).predict(features)
        if type(forecasts) is not type(labels) or forecasts.shape != shape:
            raise BrokenRuleError(
                f"Got {type(forecasts).__name__} of shape {np.shape(forecasts)} for "
                f"labels that were {name} of shape {shape}. Return what `y` was."
            )


def input_is_not_modified(forecaster: BaseEstimator, case: Case) -> None:
    """Leave the input of `fit` and `predict` as it is."""
    X, y = case.X.copy(), case.y.copy()
    clone(forecaster).fit(X, y).predict(X)
    for name, table, original in (("X", X, case.X), ("y", y, case.y)):
        if not table.equals(original) or table.attrs != original.attrs:
            raise BrokenRuleError(f"Got another `{name}` afterwards. Work on a copy.")


def fits_repeat(forecaster: BaseEstimator, case: Case) -> None:
    """Return the same forecasts when the same data are fitted again."""
    first, second = (fit(forecaster, case).predict(case.X) for _ in range(2))
    require_equal(
        first,
        second,
        case.X.index,
        "when the same data were fitted again",
        "Set `random_state`, and keep nothing between fits.",
    )


def pickle_keeps_forecasts(forecaster: BaseEstimator, case: Case) -> None:
    """Return the same forecasts after pickling."""
    fitted = fit(forecaster, case)
    restored = pickle.loads(pickle.dumps(fitted))
    require_equal(
        fitted.predict(case.X),
        restored.predict(case.X),
        case.X.index,
        "after pickling",
        "Keep all that `predict` needs in attributes that pickle.",
    )


def unfitted_raises(forecaster: BaseEstimator, case: Case) -> None:
    """Raise NotFittedError in `predict` before `fit`."""
    try:
        clone(forecaster).predict(case.X)
    except NotFittedError:
        return
    raise BrokenRuleError(
        "Got forecasts. Start `predict` with `check_is_fitted(self)`."
    )


def other_rows_raise(forecaster: BaseEstimator, case: Case) -> None:
    """Raise a ValueError for labels of other dates than the features."""
    shifted = case.y.set_axis(case.y.index + pd.Timedelta(days=7))
    for name, y in {"fewer": case.y.iloc[:-1], "other": shifted}.items():
        try:
            clone(forecaster).fit(case.X, y)
        except ValueError:
            continue
        raise BrokenRuleError(
            f"Got no error for labels of {name} dates than the features. Compare the "
            "index of `X` and `y` in `fit`."
        )


def batch_methods_agree(forecaster: BaseEstimator, case: Case) -> None:
    """Offer `fit` as `fit_batch`, and the last forecasts in `predict_batch`."""
    expected = fit(forecaster, case).predict(case.X)
    twin = clone(forecaster).fit_batch(case.X, case.y)
    require_equal(
        expected,
        twin.predict(case.X),
        case.X.index,
        "when fitted by `fit_batch`",
        "Let `fit_batch` call `fit` and return the estimator.",
    )
    got, wanted = twin.predict_batch(case.X), expected.iloc[-1].to_dict()
    same = isinstance(got, dict) and list(got) == list(wanted)
    if not same or not np.allclose(
        list(got.values()), list(wanted.values()), rtol=1e-5, equal_nan=True
    ):
        raise BrokenRuleError(
            f"Got {got} from `predict_batch` instead of {wanted}. Return a dict from "
            "ticker to the forecast of the last row."
        )


def score_is_r2_of_the_finite_labels(forecaster: BaseEstimator, case: Case) -> None:
    """Return R² over all finite labels, dates and tickers together, from `score`."""
    fitted = fit(forecaster, case)
    forecasts = fitted.predict(case.X).to_numpy()
    gaps = case.y.mask(np.random.default_rng(2).random(case.y.shape) < 0.3)
    for y in (case.y, gaps):
        use = np.isfinite(y.to_numpy()) & np.isfinite(forecasts)
        wanted = r2_score(y.to_numpy()[use], forecasts[use])
        got = fitted.score(case.X, y)
        if not np.isclose(got, wanted, rtol=1e-5, atol=1e-8):
            raise BrokenRuleError(
                f"Got {got:.6g} instead of {wanted:.6g}. Leave cells without a label "
                "out, and pool the others."
            )


TABLE_RULES = (
    # The others need these three: they compare several fits on the same case.
    parameters_are_kept,
    input_is_not_modified,
    fits_repeat,
    forecasts_are_a_table_like_the_labels,
    several_horizons_are_forecast,
    arrays_give_arrays,
    pickle_keeps_forecasts,
    unfitted_raises,
    other_rows_raise,
)
METHOD_RULES = (batch_methods_agree, score_is_r2_of_the_finite_labels)
