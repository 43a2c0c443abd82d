"""What is done about bad data before a run, and about failures in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from xgboost.core import XGBoostError

from skbatch._messages import describe_error
from skbatch._sklearn import Interval
from skbatch.batch._batch_task import (
    NO_FORECAST,
    SIMPLER,
    Event,
    Member,
    Outcome,
    Task,
    weights_of,
)
from skbatch.batch._screen import ScreeningRules, reasons_of, screen, set_aside
from skbatch.exceptions import ModelFitError
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
)
from skbatch.forecasting.engine import FeatureBlocks, as_input, fit_weighted
from skbatch.panel.engine import (
    InspectedPanel,
    PanelLike,
    are_among,
    inspect_panel,
    panel_tickers,
    recorded_reach,
)

# Failures of a model on its data. Whatever else is raised is the fault of an argument
# or of the program, and is not answered by another model.
MODEL_FAILURES = (
    ModelFitError,
    XGBoostError,
    np.linalg.LinAlgError,
    FloatingPointError,
)
_OUT_OF_MEMORY = re.compile(r"bad_alloc|bad allocation|out of memory", re.IGNORECASE)
_COUNT = [Interval(Integral, 1, None, closed="left")]


class BatchErrorHandler(BaseEstimator):
    """Quarantine tickers with unusable prices, and recover from failing fits.

    Before a run, tickers whose prices cannot be forecast are set aside with a reason.
    In a run, a batch that fails is treated like this, until every ticker has a
    forecast or a reason:

    1. Out of memory, or its worker process died: the batch is halved and each half is
       tried on its own, down to one ticker.
    2. The model failed: the batch is halved to find the tickers that make it fail.
       They are taken out, and the others are fitted together again.
    3. The tickers that were taken out are fitted together with the models that serve
       a ticker in a :class:`~skbatch.FallbackForecaster` when its primary model cannot:
       the fallback, then the historical mean, then NaN with the reason.
    4. If that fallback fails on them, they are fitted one at a time.

    Parameters
    ----------
    recent : int, default=252
        Number of rows at the end in which wrong prices and jumps make a ticker
        unusable, because today's features use them. Older ones are only noted.
    min_history : int, default=21
        Smallest number of prices that a ticker needs.
    max_stale : int, default=5
        Largest number of rows at the end without a price.
    max_flat : int, default=21
        A ticker is unusable if this many of its last prices are all the same.
    max_jump : float, default=8.0
        Largest ratio of two consecutive prices, up or down, that is accepted.
    max_invalid_share : float, default=0.01
        Largest share of a ticker's prices that may be zero, negative or infinite.
    max_attempts : int, default=32
        Largest number of fits spent on finding the tickers that make a batch fail.
        Tickers that are not cleared by then are all taken out.

    Notes
    -----
    A model fails by raising :class:`~skbatch.exceptions.ModelFitError`, XGBoost's own
    error, ``numpy.linalg.LinAlgError`` or ``FloatingPointError``; or, inside a
    :class:`~skbatch.FallbackForecaster`, by the primary model's failure. All other
    errors are raised, because an argument or a program is wrong. So is
    ``KeyboardInterrupt``.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.batch import BatchErrorHandler
    >>> prices = pd.DataFrame({"A": [2.0, 2.1, 2.2, 2.1], "B": [3.0, 3.1, -1.0, 3.2]})
    >>> healthy, findings = BatchErrorHandler(min_history=2).screen(prices)
    >>> list(healthy), findings.loc["B", "rule"]
    (['A'], 'invalid')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "recent": _COUNT,
        "min_history": [Interval(Integral, 2, None, closed="left")],
        "max_stale": [Interval(Integral, 0, None, closed="left")],
        "max_flat": [Interval(Integral, 2, None, closed="left")],
        "max_jump": [Interval(Real, 1, None, closed="neither")],
        "max_invalid_share": [Interval(Real, 0, 1, closed="both")],
        "max_attempts": _COUNT,
    }

    def __init__(
        self,
        recent: int = 252,
        min_history: int = 21,
        max_stale: int = 5,
        max_flat: int = 21,
        max_jump: float = 8.0,
        max_invalid_share: float = 0.01,
        max_attempts: int = 32,
    ) -> None:
        self.recent = recent
        self.min_history = min_history
        self.max_stale = max_stale
        self.max_flat = max_flat
        self.max_jump = max_jump
        self.max_invalid_share = max_invalid_share
        self.max_attempts = max_attempts

    def screen(
        self, prices: PanelLike | InspectedPanel
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Set aside tickers whose prices cannot be forecast.

        Parameters
        ----------
        prices : DataFrame or array-like of shape (n_dates, n_tickers)
            Panel of prices, or one with fields; see :func:`~skbatch.check_panel`.

        Returns
        -------
        panel : DataFrame of shape (n_dates, n_healthy)
            The checked panel of the other tickers.
        findings : DataFrame
            A row per finding, indexed by ticker, with columns ``rule``, ``action``
            (``"quarantined"`` or ``"noted"``) and ``detail``.

        Raises
        ------
        PanelError
            If `prices` is malformed.
        """
        return screen(prices, self._rules())

    def _rules(self) -> ScreeningRules:
        self._validate_params()
        names = [rule.name for rule in fields(ScreeningRules)]
        return ScreeningRules(**{name: getattr(self, name) for name in names})

    def set_aside(self, prices: PanelLike | InspectedPanel, n_rows: int) -> np.ndarray:
        """Find which tickers each of the last rows would be screened out at.

        Parameters
        ----------
        prices : DataFrame or array-like of shape (n_dates, n_tickers)
            Panel of prices, or one with fields; see :func:`~skbatch.check_panel`.
        n_rows : int
            Number of rows, the last, that are asked for.

        Returns
        -------
        ndarray of bool of shape (n_rows, n_tickers)
            Whether :meth:`screen` of the rows up to each row quarantines a ticker.

        Raises
        ------
        PanelError
            If `prices` is malformed.
        """
        inspected = prices
        if not isinstance(inspected, InspectedPanel):
            inspected = inspect_panel(inspected)
        if type(self).screen is BatchErrorHandler.screen:
            return set_aside(inspected, self._rules(), n_rows)
        # Of rules that are not known, one row is judged after the other.
        tickers, panel = panel_tickers(inspected.panel), inspected.marked()
        found = [
            self.screen(panel.iloc[: len(panel) - left])[1]
            for left in reversed(range(n_rows))
        ]
        return np.array([np.isin(tickers, list(reasons_of(f))) for f in found])

    def fit_task(
        self, task: Task, features: FeatureBlocks, labels: pd.DataFrame, forecaster: Any
    ) -> Outcome:
        """Fit a batch, taking out the tickers that make it fail.

        Parameters
        ----------
        task : Task
            The batch.
        features : FeatureBlocks of shape (n_dates, n_columns)
            Features of its tickers.
        labels : DataFrame of shape (n_dates, n_labels)
            Their labels.
        forecaster : estimator
            Unfitted.

        Returns
        -------
        Outcome
            Fitted forecasters, and the tickers that none of them serves.
        """
        if task.rung == SIMPLER:
            forecaster = simpler_forecaster(forecaster, task.error)
        return _Attempts(task, features, labels, forecaster, self.max_attempts).run()

    def next_tasks(
        self, task: Task, outcome: Outcome
    ) -> tuple[list[Task], list[Event]]:
        """Decide what is to be done after a task that failed, wholly or in part.

        Parameters
        ----------
        task : Task
            What was run.
        outcome : Outcome
            Its outcome.

        Returns
        -------
        tasks : list of Task
            What to run next.
        events : list of Event
            The same in words, with the error.
        """
        batch = task.batch
        if outcome.stopped:
            isolated = task.isolated or outcome.stopped == "died"
            if outcome.stopped == "died" and not task.isolated:
                again = replace(task, isolated=True)
                return [again], [
                    _event(task, "tried again in its own process", outcome)
                ]
            if len(batch.tickers) > 1:
                half = len(batch.tickers) // 2
                parts = [
                    replace(batch, name=f"{batch.name}.{number}", tickers=part)
                    for number, part in enumerate(
                        (batch.tickers[:half], batch.tickers[half:]), 1
                    )
                ]
                tasks = [replace(task, batch=part, isolated=isolated) for part in parts]
                return tasks, [_event(task, "halved", outcome)]
            offenders = dict.fromkeys(batch.tickers, outcome.error)
        else:
            offenders = outcome.offenders
        if not offenders:
            return [], []
        return self._lower(task, offenders)

    def _lower(
        self, task: Task, offenders: dict[str, str]
    ) -> tuple[list[Task], list[Event]]:
        """Pass tickers to the simpler model, or refit one at a time."""
        tickers = tuple(offenders)
        error = next(iter(offenders.values()))
        rest = Event(task.batch.name, "taken out", tickers, error)
        if task.rung == SIMPLER:
            if len(task.batch.tickers) == 1:
                return [], [replace(rest, step=NO_FORECAST)]
            singles = [
                replace(task, batch=replace(task.batch, tickers=(ticker,)))
                for ticker in tickers
            ]
            return singles, [replace(rest, step="one ticker at a time")]
        events = [replace(rest, step=SIMPLER)]
        if len(tickers) < len(task.batch.tickers):
            events.insert(0, rest)
        tasks = [
            replace(
                task,
                rung=SIMPLER,
                error=error,
                batch=replace(
                    task.batch,
                    tickers=tuple(t for t in tickers if offenders[t] == error),
                ),
            )
            for error in dict.fromkeys(offenders.values())
        ]
        return tasks, events


class FailedForecaster(BaseEstimator):
    """Stands for a model whose fit has failed before."""

    def __init__(self, error: str) -> None:
        self.error = error

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fail again."""
        raise ModelFitError(self.error)

    def predict(self, X: Any) -> Any:
        """Never called, as nothing has been fitted."""
        raise NotImplementedError


def default_forecaster() -> FallbackForecaster:
    """Create the forecaster of a system whose `forecaster` is None."""
    return FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())


def simpler_forecaster(forecaster: Any, error: str) -> FallbackForecaster:
    """Create the model for tickers on which a forecaster raised an error."""
    while isinstance(forecaster, ConformalForecaster):
        forecaster = forecaster.estimator
    failed = FailedForecaster(error)
    if isinstance(forecaster, FallbackForecaster):
        return clone(forecaster).set_params(estimator=failed)
    return FallbackForecaster(failed)


@dataclass
class _Attempts:
    """The fits of one task."""

    task: Task
    features: FeatureBlocks
    labels: pd.DataFrame
    forecaster: Any
    limit: int
    n_attempts: int = 0
    errors: dict[tuple[str, ...], str] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Fit all tickers, or those that can be fitted."""
        tickers = self.task.batch.tickers
        reach, labels = recorded_reach(self.labels), self.labels.to_numpy()
        if not np.isfinite(labels[: max(0, len(labels) - reach)]).any():
            return Outcome(offenders=dict.fromkeys(tickers, NO_LABELS))
        outcome = Outcome()
        fitted = self._fit(tickers)
        if fitted is None:
            if self.task.rung == SIMPLER and len(tickers) > 1:
                outcome.offenders.update(dict.fromkeys(tickers, self.errors[tickers]))
                outcome.n_attempts = self.n_attempts
                return outcome
            found = self._find_offenders(tickers)
            kept = tuple(ticker for ticker in tickers if ticker not in found)
            fitted = self._fit(kept) if kept else None
            if fitted is None:
                found = dict.fromkeys(tickers, self.errors[kept or tickers])
                kept = ()
            outcome.offenders.update(found)
            tickers = kept
        if fitted is not None:
            name, rung = self.task.batch.name, self.task.rung
            outcome.members.append(Member(name, rung, tickers, fitted))
        outcome.n_attempts = self.n_attempts
        return outcome

    def _fit(self, tickers: tuple[str, ...]) -> Any:
        """Fit the forecaster on some tickers; None if it fails."""
        self.n_attempts += 1
        features, labels = self.features, self.labels
        if len(tickers) < len(self.task.batch.tickers):
            features = features.select(tickers)
            labels = labels.loc[
                :, are_among(labels.columns.get_level_values(-1), tickers)
            ]
        try:
            fitted = clone(self.forecaster) if self.n_attempts > 1 else self.forecaster
            given = as_input(fitted, features), labels, weights_of(labels)
            fitted = fit_weighted(fitted, *given, "forecaster")
            self._check_models(fitted)
        except MODEL_FAILURES as error:
            if _OUT_OF_MEMORY.search(str(error)):
                raise MemoryError(describe_error(error)) from error
            self.errors[tickers] = describe_error(error)
            return None
        return fitted

    def _check_models(self, fitted: Any) -> None:
        """Raise if the model that should serve all tickers could not be fitted."""
        while isinstance(fitted, ConformalForecaster):
            fitted = fitted.estimator_
        if not isinstance(fitted, FallbackForecaster):
            return
        role = "primary" if self.task.rung == "model" else "fallback"
        single = len(self.task.batch.tickers) == 1
        if role in fitted.failures_ and not (role == "fallback" and single):
            raise ModelFitError(fitted.failures_[role])

    def _find_offenders(self, tickers: tuple[str, ...]) -> dict[str, str]:
        """Halve a failing batch until the tickers are found that make it fail."""
        error = self.errors[tickers]
        if len(tickers) == 1 or self.n_attempts >= self.limit:
            return dict.fromkeys(tickers, error)
        half = len(tickers) // 2
        found: dict[str, str] = {}
        for part in (tickers[:half], tickers[half:]):
            if self.n_attempts >= self.limit:
                found.update(dict.fromkeys(part, error))
            elif self._fit(part) is None:
                found.update(self._find_offenders(part))
        return found


NO_LABELS = "no return over the horizon is known"


def _event(task: Task, step: str, outcome: Outcome) -> Event:
    return Event(task.batch.name, step, task.batch.tickers, outcome.error)
