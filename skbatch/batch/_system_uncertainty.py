"""How sure a whole system is of its forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skbatch._messages import check_int, format_tickers, warn_user
from skbatch._sklearn import Seed
from skbatch.batch._batch_task import Member
from skbatch.batch._panel_features import stream_of
from skbatch.batch._screen import reasons_of
from skbatch.batch._system_tickers import SystemTickers
from skbatch.exceptions import FallbackWarning
from skbatch.forecasting import PredictionInterval
from skbatch.forecasting.engine import (
    FeatureBlocks,
    JointScenarios,
    Outlook,
    calibrated_part,
    calibrates_itself,
    check_coverage,
    check_coverages,
    check_quantiles,
    generator_of,
    outlook_of,
    rank_table,
)
from skbatch.panel import forward_returns
from skbatch.panel.engine import CheckedPanel, are_among


def _is_calibrated(system: Any) -> bool:
    """Return whether the forecaster of a system can be calibrated, or raise."""
    forecaster = system._part("forecaster")
    if calibrates_itself(forecaster):
        return True
    raise AttributeError(
        "`forecaster` must be calibrated to give uncertainty. Got "
        f"{type(forecaster).__name__}. Pass ConformalForecaster("
        f"{type(forecaster).__name__}())."
    )


class SystemUncertaintyMixin:
    """Intervals, quantiles, joint scenarios and chances of ranks of a system.

    The methods are there when `forecaster` is one of this package, or in a
    :class:`~skbatch.ConformalForecaster`.
    """

    tickers_: SystemTickers
    fitted_: Any
    horizon_: int | tuple[int, ...]
    delay_: int
    coverage: Any
    random_state: Seed
    _part: Any

    @available_if(_is_calibrated)
    def predict_interval(
        self, X: Any = None, coverage: float | None = None
    ) -> PredictionInterval:
        """Bound the return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            Panel with the columns of `fit`, as for `predict`. None is the last fitted
            date.
        coverage : float, default=None
            Share of the returns, between 0 and 1, that the intervals should hold. As
            many are to fall below as above. None means the system's, the first if it
            has several.

        Returns
        -------
        PredictionInterval
            ``lower, upper``, two tables like that of `predict`, simple returns over
            the horizon. ``attrs`` of a DataFrame hold their ``coverage``, and the
            ``horizon`` if there is one. NaN where there is no forecast, no volatility
            to scale by, or a model that is not calibrated.

        Warns
        -----
        FallbackWarning
            Once, naming tickers that only a model without uncertainty serves.
        """
        coverage = self._coverages()[0] if coverage is None else coverage
        check_coverage(coverage)
        tail = (1.0 - float(coverage)) / 2.0
        bounds = self._quantiles(X, [tail, 1.0 - tail])
        for bound in bounds:
            bound.attrs["coverage"] = float(coverage)
            if not isinstance(self.horizon_, tuple):
                bound.attrs["horizon"] = self.horizon_
        if X is not None and not isinstance(X, pd.DataFrame):
            return PredictionInterval(*(bound.to_numpy() for bound in bounds))
        return PredictionInterval(*bounds)

    @available_if(_is_calibrated)
    def predict_quantiles(
        self, X: Any = None, quantiles: Sequence[float] | float = (0.05, 0.5, 0.95)
    ) -> Any:
        """Forecast quantiles of the return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            As for `predict_interval`.
        quantiles : float or sequence of float, default=(0.05, 0.5, 0.95)
            Levels between 0 and 1.

        Returns
        -------
        DataFrame or ndarray
            For each level a table like that of `predict`: as a DataFrame with the
            level before the other levels of the columns, so that ``result[0.05]`` is
            the table of one, or as an array `(n_quantiles, n_dates, …)` if `X` was one.

        Warns
        -----
        FallbackWarning
            Once, naming tickers that only a model without uncertainty serves.
        """
        levels = check_quantiles(quantiles)
        tables = self._quantiles(X, levels)
        if X is not None and not isinstance(X, pd.DataFrame):
            return np.stack(tables)
        found = dict(zip(levels, tables, strict=True))
        return pd.concat(found, axis=1, names=["quantile"])

    @available_if(_is_calibrated)
    def predict_scenarios(
        self, X: Any = None, n_samples: int = 1000, random_state: Seed = None
    ) -> pd.DataFrame:
        """Draw joint scenarios of the returns that follow the last date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            All rows that follow the fitted ones, as for `forecast`. None draws from
            the last fitted date.
        n_samples : int, default=1000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the one of the system.

        Returns
        -------
        DataFrame of shape (n_samples, n_tickers)
            Simple returns over the horizon; (horizon, ticker) columns for several
            horizons. Tickers of different batches move together as their recent
            returns did. NaN for a ticker without a calibrated forecast.

        Warns
        -----
        FallbackWarning
            Once, naming tickers that only a model without uncertainty serves.
        """
        check_int(n_samples, "n_samples", 1, "Pass 1000 or more for tails.")
        joint, quarantined = self._joint(X)
        labels = self.tickers_.label_columns
        index = pd.RangeIndex(int(n_samples), name="sample")
        table = np.full((int(n_samples), len(labels)), np.nan)
        if joint.parts:
            places = labels.get_indexer(joint.labels)
            stop = 0
            for block in joint.blocks(int(n_samples), self._generator(random_state)):
                start, stop = stop, stop + len(block)
                table[start:stop, places] = block
        table[:, are_among(labels.get_level_values(-1), quarantined)] = np.nan
        return pd.DataFrame(table, index, labels, copy=False)

    @available_if(_is_calibrated)
    def predict_rank_proba(
        self,
        X: Any = None,
        n_bins: int = 5,
        *,
        n_samples: int = 10_000,
        random_state: Seed = None,
    ) -> pd.DataFrame:
        """Return each ticker's probability of ending in each cross-sectional quantile.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            As for `predict_scenarios`.
        n_bins : int, default=5
            Number of bins, from the lowest to the highest returns; 5 for quintiles.
        n_samples : int, default=10000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the one of the system.

        Returns
        -------
        DataFrame of shape (n_tickers, n_bins)
            Probabilities, as of
            :meth:`ConformalForecaster.predict_rank_proba
            <skbatch.ConformalForecaster.predict_rank_proba>`, among all tickers of
            the system.
        """
        check_int(n_bins, "n_bins", 1, "Pass 5 for quintiles.")
        check_int(n_samples, "n_samples", 1, "Pass 1000 or more for tails.")
        joint, quarantined = self._joint(X)
        labels = self.tickers_.label_index
        if not joint.parts:
            return rank_table([], joint.horizons, labels, int(n_bins))
        lost = are_among(joint.labels.get_level_values(-1), quarantined)

        def allowed() -> Iterator[np.ndarray]:
            # Tickers without a forecast are not ranked.
            for block in joint.blocks(int(n_samples), self._generator(random_state)):
                block[:, lost] = np.nan
                yield block

        horizons, names, relative = joint.horizons, joint.labels, joint.relative()
        found = rank_table(allowed(), horizons, names, int(n_bins), relative)
        return found.reindex(labels)

    def _joint(self, X: Any) -> tuple[JointScenarios, list[str]]:
        """Find what scenarios of the last date are drawn from, and who has none."""
        check_is_fitted(self)
        panel, found = self._judged(X)
        if X is not None:
            self.tickers_.warn_of_rows(panel)
        outlooks = list(self._calibrated(panel, last=True))
        return JointScenarios(outlooks), list(reasons_of(found))

    def _generator(self, random_state: Seed) -> np.random.Generator:
        """Create a generator; without a seed, of the system's own."""
        return generator_of(self.random_state if random_state is None else random_state)

    def _judged(self, X: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Check and screen rows; None is the last fitted one."""
        tickers = self.tickers_
        if X is None:
            return tickers.recent.iloc[[-1]], tickers.findings
        rows = tickers.check(X, self.fitted_.extractor)
        return rows.panel, tickers.screen_new(rows)

    def _screened_rows(self, X: Any) -> tuple[pd.DataFrame, np.ndarray]:
        """Check rows, and find what is set aside at each, `(n_dates, n_labels)`."""
        tickers = self.tickers_
        if X is None:
            names = tickers.label_columns.get_level_values(-1)
            aside = are_among(names, tickers.quarantined)[None, :]
            return tickers.recent.iloc[[-1]], aside
        rows = tickers.check(X, self.fitted_.extractor)
        return rows.panel, tickers.set_aside(rows)

    def _coverages(self) -> list[float]:
        """List the shares that intervals should hold."""
        return check_coverages(self.coverage)

    def _quantiles(self, X: Any, levels: Any) -> list[pd.DataFrame]:
        """Tabulate quantiles at every date, level by level."""
        check_is_fitted(self)
        panel, aside = self._screened_rows(X)
        labels = self.tickers_.label_columns
        tables = [pd.DataFrame(np.nan, panel.index, labels) for _ in levels]
        for outlook in self._calibrated(panel):
            columns = list(outlook.labels)
            for values, table in zip(outlook.quantiles(levels), tables, strict=True):
                table.loc[:, columns] = values
        return [table.mask(aside) for table in tables]

    def _realized(self, panel: pd.DataFrame) -> pd.DataFrame | None:
        """Compute the returns that followed new dates, if the last row knows some."""
        new = panel.loc[panel.index > self.tickers_.recent.index[-1]]
        horizons = sorted(set(np.ravel(self.horizon_).tolist()))
        known: Any = [h for h in horizons if h + self.delay_ < len(new)]
        if not known:
            return None
        if not isinstance(self.horizon_, tuple):
            known = self.horizon_
        labels = forward_returns(CheckedPanel(new), known, self.delay_)
        return labels.reindex(columns=self.tickers_.label_columns)

    def _served(
        self, panel: pd.DataFrame, *, n_last: int | None = None
    ) -> Iterator[tuple[Member, FeatureBlocks]]:
        """Return each fitted forecaster with features of all or the last dates."""
        fitted = self.fitted_
        if not fitted.members:
            return
        panel = self.tickers_.healthy(panel, fitted.extractor)
        stream = stream_of(fitted.extractor, panel, fitted.scale)
        alone = len(fitted.members) == 1 and set(fitted.members[0].tickers) == set(
            stream.columns.tickers
        )
        dates = None if n_last is None else np.arange(len(panel))[-n_last:]
        universe = None if alone else stream.known_of_all()
        for _, table in stream.tables(dates):
            for member in fitted.members:
                part = table if alone else table.select(member.tickers, universe)
                yield member, part

    def _outlooks(
        self, panel: pd.DataFrame, realized: pd.DataFrame | None, *, last: bool = False
    ) -> list[tuple[Member, Outlook | None]]:
        """Find how sure each member is, at all dates or at the last one."""
        # Returns realized after new dates count from when they were known.
        n_new = 1 if realized is None else len(realized)
        parts: dict[int, list[Outlook | None]] = {}
        members = {id(member): member for member in self.fitted_.members}
        for member, features in self._served(panel, n_last=n_new if last else None):
            outlook = member_outlook(member, features)
            parts.setdefault(id(member), []).append(outlook)
        found = []
        for key, blocks in parts.items():
            known = [block for block in blocks if block is not None]
            joined = Outlook.joined(known) if known else None
            if joined is not None and realized is not None:
                joined.follow(realized[list(joined.labels)].to_numpy())
            found.append((members[key], joined))
        return found

    def _calibrated(
        self, panel: pd.DataFrame, *, last: bool = False
    ) -> Iterator[Outlook]:
        """Iterate over members' outlooks, warning of those without calibration."""
        lacking: list[str] = []
        for member, outlook in self._outlooks(panel, self._realized(panel), last=last):
            if outlook is not None:
                yield outlook
            else:
                lacking += member.tickers
        if lacking:
            warn_user(
                f"No uncertainty for {len(lacking)} of {len(self.tickers_.tickers)} "
                "tickers, because the model that forecasts them is not calibrated: "
                f"{format_tickers(lacking)}. See provenance_ for reasons; a "
                "ConformalForecaster calibrates any model.",
                FallbackWarning,
            )


class ForecastUncertainty:
    """A table of bounds, volatility and chance of a gain, filled member by member."""

    def __init__(self, labels: pd.Index, coverages: Sequence[float]) -> None:
        self.coverages = coverages
        self.table = pd.DataFrame(np.nan, labels, _columns(coverages))
        self.table.attrs["coverage"] = coverages[0]
        self.uncalibrated: dict[object, str] = {}

    def fill(self, member: Member, returns: pd.Series, outlook: Outlook | None) -> None:
        """Enter how sure a member is of what it has forecast."""
        labels = self.table.index
        names = labels.get_level_values(-1)
        use = are_among(names, member.tickers) & returns.notna().to_numpy()
        rows = labels[use]
        if outlook is None:
            name = type(member.forecaster).__name__
            why = f"{name} is not calibrated, see ConformalForecaster"
            self.uncalibrated |= dict.fromkeys(rows, why)
        elif len(rows):
            found = outlook.summary(self.coverages)
            if not found.index.equals(rows):
                found = found.loc[list(rows)]
            values = found.to_numpy()
            self.table.iloc[np.flatnonzero(use)] = values
            lacking = rows[np.isnan(values).any(axis=1)]
            why = "no volatility is known at this date"
            self.uncalibrated |= dict.fromkeys(lacking, why)

    def withdraw(self, returns: pd.Series) -> None:
        """Clear the entries of tickers without a forecast."""
        lost = returns.index[returns.isna()]
        self.table.loc[lost] = np.nan
        for label in lost:
            self.uncalibrated.pop(label, None)


def member_outlook(
    member: Member, features: FeatureBlocks, returns: pd.Series | None = None
) -> Outlook | None:
    """Find how sure a member is at some dates; None if it is not calibrated."""
    forecaster = calibrated_part(member.forecaster)
    if forecaster is None:
        return None
    forecasts = None
    if returns is not None:
        labels = forecaster.layout_.columns
        if not labels.equals(returns.index):
            returns = returns[list(labels)]
        forecasts = returns.to_numpy(np.float64)[None, :]
    return outlook_of(forecaster, features, forecasts)


def _columns(coverages: Sequence[float]) -> list[str]:
    """Name the bounds, by their coverage in percent where there are several."""
    marks = [f"_{100 * share:.6g}" for share in coverages]
    marks = [""] if len(marks) == 1 else marks
    bounds = [f"{bound}{mark}" for mark in marks for bound in ("lower", "upper")]
    return [*bounds, "volatility", "p_positive"]
