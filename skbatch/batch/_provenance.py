"""Which forecaster stands behind each ticker's forecast, and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.batch._errors import FAILURES, describe
from skbatch.batch._portfolio import Portfolio
from skbatch.batch._tasks import Event, Member
from skbatch.exceptions import BatchWarning, FallbackWarning
from skbatch.forecasting import server_of
from skbatch.panel import split_column

__all__ = ["NO_MODEL", "Provenance", "forecast_member", "warn_of_fit"]

NO_MODEL = "none"
COLUMNS = ["model", "batch", "reason"]
UNOBSERVED = "no finite feature of its own at this date"


class Provenance:
    """A table of model, batch and reason, filled member by member.

    Parameters
    ----------
    labels : Index
        Tickers, or (horizon, ticker).
    quarantined : dict of str to str
        Ticker → why it was set aside.
    reasons : dict of str to list of str
        Ticker → why the rungs before could not serve it.
    """

    def __init__(
        self,
        labels: pd.Index,
        quarantined: Mapping[str, str],
        reasons: Mapping[str, Sequence[str]],
    ) -> None:
        self.labels = labels
        self.reasons = reasons
        cells = [
            (NO_MODEL, "", quarantined.get(ticker, "; ".join(reasons.get(ticker, []))))
            for ticker in labels.get_level_values(-1)
        ]
        self.table = pd.DataFrame(cells, labels, COLUMNS, dtype=object)

    def fill(self, member: Member, models: Any, reasons: Any) -> None:
        """Say which model serves each label of a member, and why, in their order."""
        use = self.labels.get_level_values(-1).isin(member.tickers)
        before = [
            "; ".join(self.reasons.get(ticker, []))
            for ticker in self.labels.get_level_values(-1)[use]
        ]
        reasons = np.broadcast_to(reasons, len(before))
        joined = ["; ".join(filter(None, p)) for p in zip(before, reasons, strict=True)]
        self.table.loc[use, "model"] = models
        self.table.loc[use, "batch"] = member.batch
        self.table.loc[use, "reason"] = joined

    def fill_as_fitted(self, member: Member) -> bool:
        """Say who serves a member's labels at the last date of `fit`, if it knows."""
        fitted = getattr(server_of(member.forecaster), "provenance_", None)
        if fitted is None:
            return False
        self.fill(member, fitted["model"].to_numpy(), fitted["reason"].to_numpy())
        return True

    def fill_row(self, member: Member, X: pd.DataFrame) -> np.ndarray | float:
        """Forecast one row, say who serves it, and give the forecasts."""
        server = server_of(member.forecaster)
        table, servers, error = _forecast_and_servers(member, X, self.labels)
        if error:
            self.fill(member, NO_MODEL, f"forecast failed ({error})")
            return np.nan
        forecasts = table.to_numpy()[0]
        finite = np.isfinite(forecasts)
        if servers is None:
            models = np.where(finite, type(member.forecaster).__name__, NO_MODEL)
            seen = table.columns.get_level_values(-1).isin(_observed_tickers(X))
            why = np.where(seen, "forecast not finite", UNOBSERVED)
            reasons = np.where(finite, "", why)
        else:
            models = servers.iloc[0].to_numpy()
            fitted = server.provenance_
            same = models == fitted["model"].to_numpy()
            other = np.where(
                finite,
                "the first choice has no finite forecast at this date",
                UNOBSERVED,
            )
            reasons = np.where(same, fitted["reason"].to_numpy(), other)
        self.fill(member, models, reasons)
        return forecasts

    def withdraw(self, quarantined: Mapping[str, str]) -> None:
        """Say that tickers have no forecast after all."""
        tickers = self.labels.get_level_values(-1)
        use = tickers.isin(list(quarantined))
        self.table.loc[use, "model"] = NO_MODEL
        self.table.loc[use, "reason"] = [quarantined[ticker] for ticker in tickers[use]]


def warn_of_fit(
    portfolio: Portfolio, events: Sequence[Event], provenance: pd.DataFrame
) -> None:
    """Say once what went otherwise than planned in the fit of a system."""
    quarantined, n_tickers = portfolio.quarantined, len(portfolio.tickers)
    told = []
    if quarantined:
        told.append(
            f"{len(quarantined)} of {n_tickers} tickers have prices that cannot be "
            f"used: {format_tickers(quarantined)}. See screening_ for reasons."
        )
    if events:
        steps = ", ".join(dict.fromkeys(event.step for event in events))
        told.append(
            f"{len(events)} steps of recovery were needed ({steps}), the first "
            f"because of {events[0].error}. See events_."
        )
    if told:
        warnings.warn(" ".join(told), BatchWarning, stacklevel=4)
    served = provenance[provenance["batch"] != ""]
    others = served.index.get_level_values(-1)[served["reason"] != ""].unique()
    if len(others):
        warnings.warn(
            f"{len(others)} of {n_tickers} tickers are not served by the first choice: "
            f"{format_tickers(others)}. See provenance_ for reasons.",
            FallbackWarning,
            stacklevel=4,
        )


def forecast_member(
    member: Member, X: pd.DataFrame, labels: pd.Index
) -> tuple[pd.DataFrame, str]:
    """Forecast with one member: a table of its labels, and the error if it failed."""
    return _forecast(member, X, labels, member.forecaster.predict)


def _forecast_and_servers(
    member: Member, X: pd.DataFrame, labels: pd.Index
) -> tuple[pd.DataFrame, pd.DataFrame | None, str]:
    """Forecast with one member, and name the model behind each cell if it knows."""
    model, server = member.forecaster, server_of(member.forecaster)
    servers: list[pd.DataFrame] = []

    def predict(X: pd.DataFrame) -> pd.DataFrame:
        forecasts, names = model.predict_with_provenance(X)
        servers.append(names)
        return forecasts

    if hasattr(model, "predict_with_provenance"):
        table, error = _forecast(member, X, labels, predict)
    else:
        table, error = _forecast(member, X, labels, model.predict)
        if not error and hasattr(server, "provenance_"):
            servers.append(server.predict_provenance(X))
    return table, servers[0] if servers else None, error


def _forecast(
    member: Member, X: pd.DataFrame, labels: pd.Index, predict: Callable[..., Any]
) -> tuple[pd.DataFrame, str]:
    """Bring forecasts into the order of the labels; NaN and the error if they fail."""
    columns = labels[labels.get_level_values(-1).isin(member.tickers)]
    try:
        values = predict(X)
    except FAILURES as error:
        return pd.DataFrame(np.nan, X.index, columns), describe(error)
    if isinstance(values, pd.DataFrame):
        values = values[list(columns)]
    table = np.asarray(values, dtype=np.float64).reshape(len(X), -1)
    return pd.DataFrame(table, X.index, columns), ""


def _observed_tickers(X: pd.DataFrame) -> set[str | None]:
    """Find the tickers with a finite feature of their own in the last row."""
    finite = np.isfinite(X.to_numpy()[-1])
    return {split_column(column)[0] for column in X.columns[finite]}
