"""A check of what batch forecasters promise."""

from __future__ import annotations

import inspect
import warnings

from sklearn.base import BaseEstimator

from skbatch.testing._label_rules import LABEL_RULES, BrokenRuleError
from skbatch.testing._synthetic_case import make_case
from skbatch.testing._table_rules import METHOD_RULES, TABLE_RULES

RULES = (*TABLE_RULES, *LABEL_RULES, *METHOD_RULES)


def check_batch_forecaster(forecaster: BaseEstimator) -> None:
    """Check that a forecaster follows the rules of batch forecasters.

    The forecaster is fitted about forty times on small synthetic feature frames: 160
    dates, five tickers with three features each, two features of the market.

    Parameters
    ----------
    forecaster : estimator
        What to check; it is cloned, and has to be deterministic (set its
        `random_state`). It learns from feature frames, not from prices: check a
        pipeline from prices with :func:`check_no_lookahead`. Make it small, with few
        trees for example, so that the check is fast.

    Raises
    ------
    AssertionError
        If a rule is broken. The message names the rule, and states what it requires,
        what was found, and what to do.
    TypeError
        If `forecaster` is not an instance with `fit` and `predict`.

    See Also
    --------
    check_no_lookahead : Features and forecasts do not depend on later prices.

    Notes
    -----
    The rules, in the order in which they are checked:

    - parameters_are_kept: through `clone` and `fit`, which returns the estimator.
    - input_is_not_modified, fits_repeat: the other rules build on these.
    - forecasts_are_a_table_like_the_labels: a DataFrame with the rows of `X` and the
      columns of `y`.
    - several_horizons_are_forecast: also with columns (horizon, ticker); not checked
      for a forecaster that is set to one horizon.
    - arrays_give_arrays: arrays, vectors and Series are answered in kind.
    - pickle_keeps_forecasts, bit for bit.
    - unfitted_raises: NotFittedError before `fit`.
    - other_rows_raise: ValueError if `X` and `y` have other dates.
    - last_labels_are_not_learned: the labels of the last ``horizon + delay`` rows
      change nothing.
    - missing_labels_are_not_filled: forecasts differ from those of a model that is
      trained on zeros, neighboring labels or the date's mean in their place, and
      keep their level when labels go missing at random. Filling with the ticker's own
      mean cannot be distinguished from masking for every model, and is not tested.
    - no_labels_give_no_numbers: an error or NaN if all labels are missing.
    - missing_features_give_no_forecast: NaN for a ticker without a finite feature of
      its own at a date, and for no other.
    - tickers_go_by_name: their order does not matter, up to rounding.
    - rows_stand_alone: a row is forecast from its own features, up to rounding.
    - batch_methods_agree: `fit_batch` and `predict_batch` give the same results as
      `fit` and `predict`.
    - score_is_r2_of_the_finite_labels: pooled over dates and tickers.

    Warnings of the forecaster are silenced.

    Examples
    --------
    >>> from skbatch import BatchLinearForecaster
    >>> from skbatch.testing import check_batch_forecaster
    >>> check_batch_forecaster(BatchLinearForecaster())
    """
    if isinstance(forecaster, type) or not (
        hasattr(forecaster, "fit") and hasattr(forecaster, "predict")
    ):
        raise TypeError(
            "`forecaster` must be an instance with `fit` and `predict`. Got "
            f"{forecaster!r}. Pass an unfitted batch forecaster."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rule in RULES:
            text = f"{type(forecaster).__name__} breaks the rule `{rule.__name__}`."
            promise = inspect.getdoc(rule)
            try:
                rule(forecaster, make_case(forecaster))
            except BrokenRuleError as broken:
                raise AssertionError(f"{text} {promise} {broken}") from None
            except Exception as error:
                raise AssertionError(
                    f"{text} {promise} Got {type(error).__name__}: {error}"
                ) from error
