"""What models learn of returns, and how their forecasts become returns again."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._kernels.target import shrinkage_slope, shrunken_mean, slope_and_error
from skbatch._sklearn import Interval, ListOf, StrOptions
from skbatch.exceptions import PanelError
from skbatch.forecasting._common_return import (
    MAX_SCALED_LABEL,
    Levels,
    benchmark_return,
    blocks,
    bound_all,
    label_groups,
    mean_label,
)
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout, date_weights, drop_weightless
from skbatch.forecasting._label_scale import (
    LabelScale,
    LabelTransform,
    check_feature,
)
from skbatch.forecasting._neutral_label import describe_relative, neutral_levels
from skbatch.forecasting._provenance import Reason
from skbatch.forecasting._rank_label import beta_names, rank_labels

# Shrinkage never goes below this, so that tickers stay ranked where the tail of the
# training window happened to reward nothing.
MIN_SHRINKAGE = 0.1
# What is expected of the slope before a tail has been seen: it rises with the labels
# from the first to the second, by half of that at so many labels. Models of one ticker
# and short histories deserved nothing, pooled ones of years .2 to .4, on all panels and
# horizons of docs/experiments, where one tail alone misled.
PRIOR_SLOPES, HALF_LABELS, PRIOR_DEVIATION = (0.1, 0.3), 20_000, 0.1
# From so many rows on, those between labels that do not overlap add nothing measurable.
MANY_ROWS = 100_000
# Fewer steps of the thinning than this are too few for a slope or a number of trees.
MIN_TAIL_STEPS = 5
# "auto" tails: two years of trading days are enough, and older models cost more.
MAX_AUTO_TAIL = 504
_AUTO = StrOptions({"auto"})


class ReturnTarget(BaseEstimator):
    r"""What a forecaster learns of returns: the transform of its labels.

    Labels are made comparable across tickers and dates, thinned, and split into
    training dates and a validation tail, on which the shrinkage of the forecasts is
    found. Forecasts are turned back into expected simple returns.

    Parameters
    ----------
    relative : bool, "beta", "group" or list of str, default=True
        Learn returns relative to the mean over tickers of the date, and add its
        shrunken historical mean back. False learns them relative to that historical
        mean alone, as is done for plain arrays and for a single ticker anyway.
        ``"beta"``: relative to beta times that mean, and beta times its historical
        mean is added back. ``"group"``: relative to the mean of the ticker's group, by
        `groups` of the extractor or a signal that is a category. A list names
        exposures, ticker features or groupings: relative to what a regression of the
        date's returns on them explains. Either adds the historical mean over all
        tickers back: groups and exposures are not expected to earn more than others.
    label : {"rank", "scaled"}, default="rank"
        What pooled models learn: the ``"rank"`` that returns beyond beta, in units of
        idiosyncratic volatility, have on their date, as a normal score, or ``"scaled"``
        returns. Shrinkage and penalties are chosen by scaled returns in either case,
        and forecasts are expected returns. Without a beta, a ticker counts as average;
        without idiosyncratic volatility, its own serves. Models of single tickers,
        plain arrays, dates with fewer than five labels, and ``relative=False`` always
        have scaled returns.
    scale : str or None, default="auto"
        Ticker feature by which labels are scaled: its volatility per row. ``"auto"``
        takes the ``volatility_*`` feature with the window nearest to 63 by ratio, and
        others where that one is missing. Without such features, or for plain arrays,
        labels are scaled by their standard deviation. Labels are winsorized at five
        of these units. None disables both.
    market_weight : float or "auto", default="auto"
        Weight in [0, 1] of the historical mean return in every forecast. ``"auto"``
        is t²/(1+t²) with the mean's t-statistic. A ticker with less than half the
        typical volatility takes it in proportion to its volatility only.
    thin : int or "auto", default="auto"
        Train on every `thin`-th date, because labels of neighboring dates overlap.
        ``"auto"`` is half the horizon, rounded up, and the whole horizon where at least
        100,000 rows train all the same.
    validation_size : int, float or "auto", default="auto"
        Number of rows or share of rows, the latest of the training rows and purged
        from them, on which shrinkage is found, the factor between 0.1 and 1 that
        relative forecasts are multiplied with. ``"auto"`` is a fifth, at most 504
        rows. Where fewer than ``5 * thin`` dates are in it, or left to train on, there
        is no tail: all dates train and the factor is 0.1. 0 disables: all dates train
        and the factor is 1.
    benchmark : Series or DataFrame, default=None
        Forward returns that labels are relative to, such as those of an index: over
        the horizon that follows each date, and after the same delay as the labels,
        indexed by date, for several horizons with a column for each. None takes the
        mean over the tickers of the labels.
    half_life : float or None, default=None
        Rows after which a label counts half as much as one of the last row of X. None
        lets all dates count alike.
    weight : str or None, default=None
        What labels count in proportion to, beside `half_life` and the `sample_weight`
        of `fit`: a ticker feature, such as a market capitalization, or
        ``"inverse_volatility"``. A label without it, or with zero, is not trained on.
    min_skill : float or None, default=None
        Least t-statistic of the slope of realized returns on forecasts in the tail. A
        model below it, or without a tail, has no skill to rely on: its forecasts are
        the market's expectation alone, which the provenance records. None keeps the
        forecasts of all models, which had the better R² and rank IC on nearly all
        panels.

    Notes
    -----
    With label :math:`r_{t,i}` over h rows and the ticker's volatility per row
    :math:`\sigma_{t,i}`, the label is winsorized at :math:`\pm 5\sigma_{t,i}\sqrt{h}`.
    With its mean :math:`m_t` over tickers that trade on the same days of the week, the
    scaled return is :math:`z_{t,i} = (r_{t,i} - m_t) / (\sigma_{t,i}\sqrt{h})`,
    winsorized at :math:`\pm 5`. The model f learns z, or the normal score of the rank
    on its date of
    :math:`(r_{t,i} - m_t\,\beta_{t,i}/\bar\beta_t) / \psi_{t,i}`. There
    :math:`\beta_{t,i}` is .33 + .67 times the feature ``beta_252`` within [-1, 4] [3]_,
    :math:`\bar\beta_t` its mean over the tickers of the date, and :math:`\psi_{t,i}`
    the feature ``idiosyncratic_volatility_63``, or others of these names with the
    nearest windows. With ``relative="beta"``, :math:`m_t\beta_{t,i}` takes the place of
    the mean in both, and :math:`\beta_{t,i}` multiplies its expectation :math:`\bar m`
    below. With groups or exposures, it is what these explain of the returns of a date
    by least squares, and a ticker without one, or alone in its group, is not trained on
    then. The forecast is
    :math:`c\,w \bar m + s\,\sigma_{t,i}\sqrt{h}\,f(x_{t,i})`. The shrinkage s is the
    slope of realized on forecast z in the tail [1]_, averaged with the slope that is
    expected from n training labels, :math:`0.1 + 0.2\,n/(n + 20000)`, in proportion to
    their precisions, where the latter's standard error is 0.1, or more where the tail
    is at odds with it by more than three standard errors [4]_. It is kept within
    [0.1, 1]. The weight w is that of
    a shrunken mean [2]_. The share c is :math:`\min(1, 2\sigma_{t,i}/\tilde\sigma_t)`
    with the median volatility :math:`\tilde\sigma_t` of the date, and 1 where labels
    are not scaled by a feature.

    References
    ----------
    .. [1] Mincer, J. and Zarnowitz, V. (1969). The evaluation of economic forecasts.
       In Economic Forecasts and Expectations, NBER, 3–46.
    .. [2] Thompson, J. R. (1968). Some shrinkage techniques for estimating the mean.
       Journal of the American Statistical Association, 63(321), 113–122.
    .. [3] Blume, M. E. (1975). Betas and their regression tendencies. Journal of
       Finance, 30(3), 785–795.
    .. [4] Theil, H. and Goldberger, A. S. (1961). On pure and mixed statistical
       estimation in economics. International Economic Review, 2(1), 65–78.

    Examples
    --------
    >>> from skbatch import BatchLinearForecaster
    >>> from skbatch.forecasting import ReturnTarget
    >>> model = BatchLinearForecaster(target=ReturnTarget(thin=1))
    >>> model.set_params(target__relative=False).target
    ReturnTarget(relative=False, thin=1)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "relative": ["boolean", StrOptions({"beta", "group"}), ListOf(str)],
        "label": [StrOptions({"rank", "scaled"})],
        "scale": [str, None],
        "market_weight": [Interval(Real, 0, 1, closed="both"), _AUTO],
        "thin": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "validation_size": [
            Interval(Integral, 0, None, closed="left"),
            Interval(Real, 0, 1, closed="left"),
            _AUTO,
        ],
        "benchmark": [pd.DataFrame, pd.Series, None],
        "half_life": [Interval(Real, 0, None, closed="neither"), None],
        "weight": [str, None],
        "min_skill": [Interval(Real, None, None, closed="neither"), None],
    }

    def __init__(
        self,
        relative: bool | Literal["beta", "group"] | Sequence[str] = True,
        *,
        label: Literal["rank", "scaled"] = "rank",
        scale: str | None = "auto",
        market_weight: float | Literal["auto"] = "auto",
        thin: int | Literal["auto"] = "auto",
        validation_size: float | Literal["auto"] = "auto",
        benchmark: pd.Series | pd.DataFrame | None = None,
        half_life: float | None = None,
        weight: str | None = None,
        min_skill: float | None = None,
    ) -> None:
        self.relative = relative
        self.label = label
        self.scale = scale
        self.market_weight = market_weight
        self.thin = thin
        self.validation_size = validation_size
        self.benchmark = benchmark
        self.half_life = half_life
        self.weight = weight
        self.min_skill = min_skill

    @property
    def relative_to(self) -> str:
        """What the returns that models learn are relative to, in words."""
        market = "the market" if self.benchmark is None else "the benchmark"
        return describe_relative(self.relative, market)

    def label_weights(
        self,
        labels: np.ndarray,
        features: FeatureBlocks,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Multiply weights by those that the target gives to labels.

        Parameters
        ----------
        labels : ndarray of shape (n_dates, n_labels), dtype float64
            Simple returns, NaN where unknown; those of weight zero become NaN.
        features : FeatureBlocks
            The features that the labels belong to.
        layout : LabelLayout
            What the columns are.
        weights : ndarray of shape (n_dates, n_labels), default=None
            How much each label counts before.

        Returns
        -------
        ndarray of shape (n_dates, n_labels), or None
            How much each label counts; None if all count alike.

        Raises
        ------
        ValueError
            If `weight` is not a feature.
        PanelError
            If it is negative or infinite, or zero or missing everywhere.
        """
        self._validate_params()
        if self.half_life is None and self.weight is None:
            return weights
        found = np.ones(labels.shape) if weights is None else weights
        if self.half_life is not None:
            age = np.arange(len(labels) - 1.0, -1.0, -1.0)
            found = found * 0.5 ** (age / self.half_life)[:, None]
        if self.weight == "inverse_volatility":
            scale = LabelScale.choose("auto", features, labels, layout)
            found = found / scale.matrix(features).astype(np.float64)
        elif self.weight is not None:
            found = found * self._weighting_feature(features, layout)
        return drop_weightless(labels, np.nan_to_num(found))

    def _weighting_feature(
        self, features: FeatureBlocks, layout: LabelLayout
    ) -> np.ndarray:
        """Read the feature that labels count in proportion to."""
        name = self.weight
        check_feature("weight", name, ["'inverse_volatility'", "None"], features)
        values = features.own_feature(str(name), layout.tickers)
        if (values < 0).any() or np.isinf(values).any():
            raise PanelError(
                f"Weights in X, {name!r}, must be finite and not negative. Got "
                f"{np.nanmin(values):g} to {np.nanmax(values):g}. Choose another "
                "feature."
            )
        return values.astype(np.float64)

    def transform_labels(
        self,
        labels: np.ndarray,
        features: FeatureBlocks,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> tuple[LabelTransform, np.ndarray]:
        """Turn labels `(n_dates, n_labels)`, in place, into what models are judged by.

        Parameters
        ----------
        labels : ndarray of shape (n_dates, n_labels), dtype float64
            Simple returns, NaN where unknown; overwritten.
        features : FeatureBlocks
            The features that the labels belong to.
        layout : LabelLayout
            What the columns are.
        weights : ndarray of shape (n_dates, n_labels), default=None
            How much each label counts.

        Returns
        -------
        transform : LabelTransform
            How forecasts become returns.
        learned : ndarray of shape (n_dates, n_labels)
            What pooled models learn: `labels` themselves, unless these are ranked.

        Raises
        ------
        ValueError
            If `scale` is not a feature.
        PanelError
            If volatilities are negative, or the benchmark has no returns at the dates.
        """
        self._validate_params()
        scale = LabelScale.choose(self.scale, features, labels, layout)
        has_own = features.series_columns(layout.tickers).shape[1] > 0
        horizons = np.asarray(layout.horizons)
        root = np.sqrt(horizons.astype(np.float64))
        unit = scale.matrix(features)
        if self.scale is not None:
            bound_all(labels, unit, root)
        level, expectation, weight = self._levels(
            labels, features, layout, has_own, weights
        )
        level.whole = neutral_levels(
            self.relative, labels, level, features, layout, weights
        )
        for rows in blocks(labels):
            labels[rows] -= level.rows(rows)
            labels[rows] /= unit[rows] * root
            if self.scale is not None:
                np.clip(
                    labels[rows], -MAX_SCALED_LABEL, MAX_SCALED_LABEL, out=labels[rows]
                )
        if has_own and not scale.features:
            # A volatility is a feature, so a ticker that has one was observed.
            labels[~features.observed(layout.tickers)] = np.nan
        betas = beta_names(features) if self.relative == "beta" else []
        transform = LabelTransform(layout, scale, expectation, weight, betas)
        if self.label == "scaled" or not level.moving or not has_own:
            return transform, labels
        return transform, rank_labels(labels, unit, level, features, layout)

    def _levels(
        self,
        labels: np.ndarray,
        features: FeatureBlocks,
        layout: LabelLayout,
        has_own: bool,
        weights: np.ndarray | None,
    ) -> tuple[Levels, np.ndarray, np.ndarray]:
        """Find what labels are relative to, its mean, and the mean's weight."""
        horizons = np.asarray(layout.horizons)
        levels = Levels(np.empty(len(horizons)), [])
        expectation, weight = np.empty(len(horizons)), np.empty(len(horizons))
        for columns, given in label_groups(labels, features, layout, has_own):
            horizon = int(horizons[columns[0]])
            if self.benchmark is not None:
                given = benchmark_return(self.benchmark, horizon, features, layout)
            pooled = given is None and len(columns) > 1
            if given is not None:
                common = given
            elif pooled:
                least = 2 if self.relative else 1
                common = mean_label(labels, columns, least, weights)
            else:
                common = labels[:, columns[0]].copy()
            of_dates = date_weights(labels, weights, columns)
            mean, certainty = shrunken_mean(common, horizon, of_dates)
            expectation[columns] = mean
            weight[columns] = (
                certainty if self.market_weight == "auto" else self.market_weight
            )
            levels.constant[columns] = mean
            if self.relative and (pooled or given is not None):
                levels.moving.append((columns, common))
        return levels, expectation, weight

    def split(
        self, known: np.ndarray, horizon: int, delay: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Split dates with a known label into training dates and the tail.

        Parameters
        ----------
        known : ndarray of shape (n_dates,) or (n_dates, n_tickers), dtype bool
            Whether a date, or a ticker at a date, has a label.
        horizon : int
            Rows that a label's return spans.
        delay : int, default=0
            Rows from the date of a label to the start of its return.

        Returns
        -------
        train, tail : ndarray, dtype intp
            Row numbers; the tail is empty where it, or what is left to train on, would
            be too short.
        """
        thin = thinning(self.thin, horizon, int(known.sum()))
        dates = np.asarray(known.reshape(len(known), -1).any(axis=1))
        return split_tail(dates, horizon + delay, self.validation_size, thin)

    def shrinkage(
        self,
        labels: np.ndarray,
        forecast: np.ndarray,
        dates: np.ndarray,
        horizon: int,
        n_known: int,
        weights: np.ndarray | None = None,
    ) -> float:
        """Find the factor of a model's forecasts by those of a tail.

        Parameters
        ----------
        labels, forecast : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            What models learn, and what one forecasts of it; empty without a tail.
        dates : ndarray of shape (n_rows,), dtype intp
            Date number of each row.
        horizon : int
            Rows that a label's return spans.
        n_known : int
            Number of rows (date, series) with a known label up to the last date that
            trains.
        weights : ndarray of the shape of labels, default=None
            How much each label counts.

        Returns
        -------
        float
            Between 0.1 and 1.
        """
        if len(labels):
            prior = expected_slope(n_known)
            found = shrinkage_slope(
                labels, forecast, dates, horizon, prior, PRIOR_DEVIATION, weights
            )
            return min(max(found, MIN_SHRINKAGE), 1.0)
        # Too little history to judge the model by.
        return MIN_SHRINKAGE if self.validation_size != 0 else 1.0

    def _lack_of_skill(
        self,
        labels: np.ndarray,
        forecast: np.ndarray,
        dates: np.ndarray,
        horizon: int,
        weights: np.ndarray | None = None,
    ) -> Reason | None:
        """Explain why a model's forecasts of a tail show too little skill, if so."""
        if self.min_skill is None:
            return None
        found = None
        if len(labels):
            found = slope_and_error(labels, forecast, dates, horizon, weights)
        slope, error = found or (0.0, 1.0)
        t_statistic = slope / np.sqrt(error) if error else np.inf * np.sign(slope)
        if t_statistic >= self.min_skill and found is not None:
            return None
        text = "unknown" if found is None else f"{t_statistic:.1f}"
        details = ("t_statistic", text), ("needed", f"{self.min_skill:g}")
        return Reason("no_skill", details=details)


def expected_slope(n_known: int) -> float:
    """Slope of labels on forecasts to expect of a model of so many labels."""
    low, high = PRIOR_SLOPES
    return low + (high - low) * n_known / (n_known + HALF_LABELS)


def thinning(thin: int | Literal["auto"], horizon: int, n_labels: int) -> int:
    """Resolve the step between training dates."""
    if thin != "auto":
        return thin
    return horizon if n_labels >= MANY_ROWS * horizon else -(-horizon // 2)


def tail_rows(span: int, size: float | Literal["auto"]) -> int:
    """Resolve the number of rows of the tail of `span` rows."""
    if size == "auto":
        return min(span // 5, MAX_AUTO_TAIL)
    return int(size) if isinstance(size, Integral) else int(span * size)


def split_tail(
    known: np.ndarray, reach: int, size: float | Literal["auto"], thin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split off the latest dates, and purge labels that reach into them."""
    dates = np.flatnonzero(known)
    train, tail = dates, dates[:0]
    if len(dates):
        first, last = int(dates[0]), int(dates[-1])
        late = dates[dates > last - tail_rows(last - first + 1, size)]
        early = dates[dates + reach <= late[0]] if len(late) else tail
        if min(len(late), len(early)) >= MIN_TAIL_STEPS * thin:
            train, tail = early, late
    # Counted from the first date: a new day leaves the choice as it is. Counted from
    # the last one, every day would train on other rows, and rank tickers anew.
    return train[::thin], tail
