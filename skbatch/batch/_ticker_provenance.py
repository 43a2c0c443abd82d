"""Which forecaster stands behind each ticker's forecast, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import count, describe_error, format_tickers, warn_user
from skbatch.batch._batch_task import Member
from skbatch.batch._errors import MODEL_FAILURES
from skbatch.batch._fit_batches import FittedBatches
from skbatch.batch._system_tickers import SystemTickers
from skbatch.exceptions import BatchWarning, FallbackWarning
from skbatch.forecasting.engine import (
    NO_MODEL,
    FeatureBlocks,
    Reason,
    first_choice,
    fitted_provenance,
    forecast_with_provenance,
    layout_of,
    run_model,
)
from skbatch.panel.engine import are_among

COLUMNS = ["model", "batch", "reason"]


class TickerProvenance:
    """A table of model, batch and reason, filled member by member."""

    def __init__(
        self,
        tickers: SystemTickers,
        quarantined: Mapping[str, Reason],
        reasons: Mapping[str, Sequence[Reason]],
    ) -> None:
        self.labels = tickers.label_index
        self.horizon = tickers.horizon
        why = {**reasons, **{t: [reason] for t, reason in quarantined.items()}}
        cells = np.empty((len(self.labels), len(COLUMNS)), dtype=object)
        cells[:] = NO_MODEL, "", ""
        names = self.labels.get_level_values(-1)
        for row in np.flatnonzero(are_among(names, why)).tolist():
            cells[row, 2] = "; ".join(map(str, why[names[row]]))
        self.table = pd.DataFrame(cells, self.labels, COLUMNS, dtype=object)

    def fill(self, member: Member, found: pd.DataFrame) -> None:
        """Enter which model serves each label of a member, and why."""
        use = are_among(self.labels.get_level_values(-1), member.tickers)
        self.table.loc[use, "model"] = found["model"].to_numpy()
        self.table.loc[use, "batch"] = member.batch
        self.table.loc[use, "reason"] = found["reason"].to_numpy()

    def fill_as_fitted(self, member: Member) -> bool:
        """Enter who serves a member's labels at the last date of `fit`, if known."""
        fitted = fitted_provenance(member.forecaster)
        if fitted is None:
            return False
        self.fill(member, fitted)
        return True

    def fill_row(self, member: Member, features: FeatureBlocks) -> np.ndarray | float:
        """Forecast one row, enter who serves it, and give the forecasts."""
        columns = labels_of_member(member, self.labels)
        layout = layout_of(columns, self.horizon)
        try:
            forecasts, provenance = forecast_with_provenance(
                member.forecaster, features, layout
            )
        except MODEL_FAILURES as error:
            failed = f"forecast failed ({describe_error(error)})"
            cells = {"model": NO_MODEL, "reason": failed}
            self.fill(member, pd.DataFrame(cells, columns))
            return np.nan
        found, given = provenance.at(), provenance.layout.columns
        assert given is not None
        if not given.equals(columns):
            found = found.set_axis(given, axis=0).loc[list(columns)]
        self.fill(member, found)
        if isinstance(forecasts, pd.DataFrame) and not columns.equals(
            forecasts.columns
        ):
            forecasts = forecasts[list(columns)]
        return np.asarray(forecasts, dtype=np.float64).ravel()

    def withdraw(self, quarantined: Mapping[str, Reason]) -> None:
        """Enter that tickers have no forecast after all."""
        tickers = self.labels.get_level_values(-1)
        use = are_among(tickers, quarantined)
        self.table.loc[use, "model"] = NO_MODEL
        reasons = [str(quarantined[ticker]) for ticker in tickers[use]]
        self.table.loc[use, "reason"] = reasons


def labels_of_member(member: Member, labels: pd.Index) -> pd.Index:
    """Select the labels of a member's tickers, in the order of all labels."""
    return labels[are_among(labels.get_level_values(-1), member.tickers)]


def predict_member(
    member: Member, features: FeatureBlocks, labels: pd.Index, horizon: Any
) -> tuple[pd.DataFrame, str]:
    """Forecast with one member: a table of its labels, and the error if it failed."""
    columns = labels_of_member(member, labels)
    shape = features.n_dates, len(columns)
    forecasts, failure = np.full(shape, np.nan), ""
    try:
        layout = layout_of(columns, horizon)
        forecasts = run_model(member.forecaster, features, layout)
    except MODEL_FAILURES as error:
        failure = describe_error(error)
    assert features.index is not None
    return pd.DataFrame(forecasts, features.index, columns), failure


def warn_of_fit(
    tickers: SystemTickers,
    fitted: FittedBatches,
    provenance: pd.DataFrame,
    problems: Sequence[str],
) -> None:
    """Warn once about everything in the fit of a system that did not go as planned."""
    events = fitted.events
    quarantined, n_tickers = tickers.quarantined, len(tickers.tickers)
    sentences = [*problems, *filter(None, [tickers.partial_row()])]
    if quarantined:
        sentences.append(
            f"Prices of {len(quarantined)} of {n_tickers} tickers cannot be used: "
            f"{format_tickers(quarantined)}. See screening_ for reasons."
        )
    if events:
        steps = ", ".join(dict.fromkeys(event.step for event in events))
        sentences.append(
            f"Recovery took {count(len(events), 'step')} ({steps}), the first because "
            f"of {events[0].error}. See events_."
        )
    if sentences:
        warn_user(
            " ".join(sentences),
            BatchWarning,
        )
    usable = ~are_among(provenance.index.get_level_values(-1), quarantined)
    served = provenance[(provenance["batch"] != "") & usable]
    meant = ("", str(Reason("not_member")))
    primary = {first_choice(member.forecaster) for member in fitted.members}
    as_meant = served["reason"].isin(meant) | served["model"].isin(primary)
    others = served.index.get_level_values(-1)[~as_meant].unique()
    if len(others):
        warn_user(
            f"The primary model cannot forecast {len(others)} of {n_tickers} tickers: "
            f"{format_tickers(others)}. See provenance_ for reasons.",
            FallbackWarning,
        )
