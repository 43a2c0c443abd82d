"""Whether intervals contain as many returns as they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._sklearn import last_step
from skbatch.metrics._inference import mean_inference
from skbatch.metrics.alignment import Table, align
from skbatch.metrics.plotting import GOOD, GREY, INK, Display, horizon_of, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QuantileForecasts: TypeAlias = (
    Mapping[float, Table | tuple[Table, Table]] | pd.DataFrame
)
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


class IntervalCalibrationDisplay(Display):
    """Plot of nominal against observed shares of quantiles or intervals.

    Use `from_estimator` or `from_predictions` to create one.

    Parameters
    ----------
    shares : DataFrame of shape (n_levels, 2)
        Indexed by the nominal share; column observed, and error: the half width of
        its 95% interval over dates, NaN where it is not known.
    of_intervals : bool, default=False
        Whether shares are of returns inside intervals, not below quantiles.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The observed shares.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np, pandas as pd
    >>> from skbatch.metrics import IntervalCalibrationDisplay
    >>> y = pd.DataFrame(np.linspace(0, 1, 100).reshape(20, 5))
    >>> bounds = {0.5: (y * 0 + 0.25, y * 0 + 0.75)}
    >>> display = IntervalCalibrationDisplay.from_predictions(y, bounds)
    >>> display.shares["observed"].round(2).to_dict()
    {0.5: 0.5}
    """

    _size = (4.6, 4.6)

    def __init__(self, shares: pd.DataFrame, *, of_intervals: bool = False) -> None:
        self.shares = shares
        self.of_intervals = of_intervals

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: pd.DataFrame,
        y: Table,
        *,
        quantiles: Sequence[float] = QUANTILES,
        **options: Any,
    ) -> IntervalCalibrationDisplay:
        """Draw the calibration of a fitted forecaster's quantiles.

        Parameters
        ----------
        estimator : estimator
            Fitted forecaster with ``predict_quantiles(X, quantiles)``, or a pipeline
            that ends in one.
        X : DataFrame
            What it forecasts from, out of sample.
        y : DataFrame of shape (n_dates, n_tickers)
            Realized returns.
        quantiles : sequence of float, default=(0.01, 0.05, ..., 0.99)
            Levels between 0 and 1.
        **options
            Parameters of `from_predictions`.

        Returns
        -------
        IntervalCalibrationDisplay
            The display.

        Raises
        ------
        TypeError
            If the estimator does not forecast quantiles.
        """
        tables = forecast_quantiles(estimator, X, quantiles)
        return cls.from_predictions(y, tables, **options)

    @classmethod
    def from_predictions(
        cls,
        y_true: Table,
        y_pred: QuantileForecasts,
        *,
        horizon: int | None = None,
        ax: Axes | None = None,
    ) -> IntervalCalibrationDisplay:
        """Draw the calibration of quantiles or intervals.

        Parameters
        ----------
        y_true : DataFrame or array-like of shape (n_dates, n_tickers)
            Realized returns.
        y_pred : mapping or DataFrame
            Level → forecasts of that quantile, of the shape of `y_true`; or coverage
            → (lower, upper) bounds; or a DataFrame with the levels as a level of its
            columns.
        horizon : int, default=None
            Rows that each return spans; None takes ``y_true.attrs["horizon"]``, and 1
            without it.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        IntervalCalibrationDisplay
            The display.

        Raises
        ------
        ValueError
            If levels are not between 0 and 1, or quantiles and intervals are mixed.
        PanelError
            If the tables differ.
        """
        tables = quantile_tables(y_pred)
        pairs = {isinstance(table, tuple) for table in tables.values()}
        if len(pairs) > 1:
            raise ValueError(
                "`y_pred` must hold quantiles or intervals. Got both. Draw one plot "
                "of each."
            )
        n_rows = horizon_of(y_true, horizon)
        rows = {
            level: _observed(y_true, tables[level], n_rows) for level in sorted(tables)
        }
        shares = pd.DataFrame.from_dict(
            rows, orient="index", columns=["observed", "error"]
        )
        return cls(shares.rename_axis("nominal"), of_intervals=pairs == {True}).plot(ax)

    def _draw(self, ax: Axes) -> None:
        nominal = 100 * self.shares.index.to_numpy(dtype=np.float64)
        observed = 100 * self.shares["observed"].to_numpy()
        error = 100 * self.shares["error"].to_numpy()
        ax.plot([0, 100], [0, 100], color=GREY, linestyle="--", lw=1, label="perfect")
        self.line_ = ax.errorbar(
            nominal,
            observed,
            yerr=np.where(np.isfinite(error), error, 0.0),
            fmt="o-",
            color=GOOD,
            markersize=4.5,
            linewidth=1.6,
            capsize=2.5,
            label="observed",
        ).lines[0]
        _label(ax, nominal, observed)
        ax.set(xlim=(-4, 104), ylim=(-4, 104), aspect="equal")
        what = "inside the interval" if self.of_intervals else "below the quantile"
        ax.set_xlabel("nominal, %", color=INK)
        ax.set_ylabel(f"returns {what}, %", color=INK)
        ax.legend(loc="upper left", frameon=False, fontsize=9)
        gap = np.abs(observed - nominal)
        note = f"largest gap {gap.max():.1f} points, at {nominal[gap.argmax()]:g}%"
        name = "intervals" if self.of_intervals else "quantiles"
        tidy(ax, f"Calibration of {name}", note=note)


def forecast_quantiles(
    estimator: BaseEstimator, X: pd.DataFrame, quantiles: Sequence[float]
) -> dict[float, Any]:
    """Have a fitted forecaster, or the last step of a pipeline, forecast quantiles."""
    final, X = last_step(estimator, X)
    if not hasattr(final, "predict_quantiles"):
        raise TypeError(
            "`estimator` must have `predict_quantiles`. Got "
            f"{type(final).__name__}. Pass a forecaster of quantiles, such as "
            "ConformalForecaster."
        )
    return quantile_tables(final.predict_quantiles(X, list(quantiles)), quantiles)


def _label(ax: Axes, nominal: np.ndarray, observed: np.ndarray) -> None:
    """Write shares beside the points, as far as there is room."""
    last = -100.0
    for x, y in zip(nominal, observed, strict=True):
        if x - last < 4:
            continue
        last = x
        # Above the line on its left half, below on its right: never on it.
        low = x < 50
        ax.annotate(
            f"{y:.1f}",
            (x, y),
            (-6 if low else 6, 7 if low else -7),
            textcoords="offset points",
            ha="right" if low else "left",
            va="bottom" if low else "top",
            fontsize=8,
            color=INK,
        )


def quantile_tables(
    y_pred: QuantileForecasts | np.ndarray, quantiles: Sequence[float] | None = None
) -> dict[float, Any]:
    """Key forecasts by their level, which an array has in `quantiles`."""
    if isinstance(y_pred, pd.DataFrame):
        tables = _split_levels(y_pred)
    elif isinstance(y_pred, Mapping):
        tables = dict(y_pred)
    elif quantiles is not None and len(y_pred) == len(quantiles):
        tables = dict(zip(quantiles, y_pred, strict=True))
    else:
        tables = {}
    numbers = [
        level for level in tables if np.isscalar(level) and not isinstance(level, str)
    ]
    if not tables or len(numbers) < len(tables) or not all(0 < v < 1 for v in numbers):
        raise ValueError(
            "`y_pred` must map levels between 0 and 1 to forecasts. Got "
            f"{list(tables)[:5] or type(y_pred).__name__}. Pass {{0.05: lower, 0.95: "
            "upper}, or {0.9: (lower, upper)}."
        )
    return tables


def _split_levels(table: pd.DataFrame) -> dict[float, Any]:
    """Find the level of the columns that holds quantiles, and split by it."""
    for number in range(table.columns.nlevels if table.columns.nlevels > 1 else 0):
        values = table.columns.unique(number)
        if pd.api.types.is_float_dtype(values.dtype):
            return {
                float(level): table.xs(level, axis=1, level=number) for level in values
            }
    return {}


def _observed(
    y_true: Table, bounds: Table | tuple[Table, Table], horizon: int
) -> tuple[float, float]:
    """Return the share of returns inside, and the half width of its interval."""
    inside, known = None, None
    low, high = bounds if isinstance(bounds, tuple) else (None, bounds)
    for bound, sign in ((low, -1), (high, 1)):
        if bound is None:
            continue
        tables = align(y_true, bound)
        use = np.isfinite(tables.actual) & np.isfinite(tables.forecast)
        holds = sign * tables.actual <= sign * tables.forecast
        inside = holds if inside is None else inside & holds
        known = use if known is None else known & use
    assert inside is not None
    assert known is not None
    if not known.any():
        return float("nan"), float("nan")
    share = float(inside[known].mean())
    # Each date's share of misses, weighted by its tickers: their mean is the error.
    missed = np.where(known, inside - share, 0.0).sum(axis=1) / known.sum(axis=1).mean()
    return share, mean_inference(missed, horizon=horizon).margin
