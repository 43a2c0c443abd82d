"""Which model each forecast comes from, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from skbatch.forecasting._children import as_input, run_model
from skbatch.forecasting._feature_table import ABSENT, FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.panel.engine import SEPARATOR

NO_MODEL = "none"

Code = Literal[
    "fit_failed",
    "few_labels",
    "no_labels",
    "not_finite",
    "unobserved",
    "not_member",
    "quarantined",
    "no_skill",
]
_TEXTS: dict[str, str] = {
    "fit_failed": "fit failed ({error})",
    "few_labels": "{n_labels} labels, needs {needed}",
    "no_labels": "no return over the horizon is known",
    "not_finite": "forecast not finite",
    "unobserved": "no price at this date, or no finite feature of its own",
    "not_member": "not a member of the universe",
    "quarantined": "quarantined ({rule}): {detail}",
    "no_skill": "market expectation alone, as the model shows no skill in the "
    "validation tail (t-statistic {t_statistic}, needs {needed})",
}


@dataclass(frozen=True)
class Reason:
    """Why a model does not serve a ticker, or not with what it has learned.

    Attributes
    ----------
    code : {"fit_failed", "few_labels", "no_labels", "not_finite", "unobserved", \
            "not_member", "quarantined", "no_skill"}
        What kind of reason it is.
    role : str, default=""
        Which model it is about: ``"primary"``, ``"fallback"``, ``"mean"``, or
        ``""`` for all of them.
    details : tuple of (str, object), default=()
        Details of the reason, such as ``("error", "LinAlgError: …")``.
    """

    code: Code
    role: str = ""
    details: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        text = _TEXTS[self.code].format(**dict(self.details))
        return f"{self.role}: {text}" if self.role else text


# Why absent tickers have no forecast, by the numbers of `FeatureBlocks.absence`.
ABSENT_REASONS: tuple[tuple[Reason, ...], ...] = (
    (),
    *((Reason(code),) for code in ABSENT[1:]),  # type: ignore[arg-type]
)


@dataclass(frozen=True)
class Provenance:
    """Where each of a table of forecasts comes from.

    Attributes
    ----------
    models : tuple of str
        Names of the models, and ``"none"`` at the end.
    served_by : ndarray of shape (n_dates, n_labels), dtype intp
        Place of each forecast's model in `models`.
    reasons : tuple of tuples of Reason
        The different answers to why the models before do not serve a ticker, or the one
        that does without what it has learned; the first is empty.
    reason_number : ndarray of shape (n_dates, n_labels), dtype intp
        Place of each forecast's answer in `reasons`.
    layout : LabelLayout
        Tickers and horizons of the forecasts.
    index : Index or None
        Dates.
    without : dict of str to ndarray of shape (n_dates, n_labels), dtype bool
        Signal → which tickers are forecast without it. Empty if the features do not
        record what they are made of, as those of ``SharedFeatureExtractor`` do.
    """

    models: tuple[str, ...]
    served_by: np.ndarray
    reasons: tuple[tuple[Reason, ...], ...]
    reason_number: np.ndarray
    layout: LabelLayout
    index: pd.Index | None
    without: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def model(self) -> pd.DataFrame | pd.Series | np.ndarray:
        """Name of the model behind each forecast, in the container of the labels."""
        names = np.array(self.models, dtype=object)
        return self.layout.wrap(names[self.served_by], self.index)

    @property
    def reason(self) -> pd.DataFrame | pd.Series | np.ndarray:
        """Reasons as text, in the container of the labels; empty if there is none."""
        return self.layout.wrap(self._texts()[self.reason_number], self.index)

    def at(self, row: int = -1) -> pd.DataFrame:
        """Tabulate one date.

        Parameters
        ----------
        row : int, default=-1
            Number of the date.

        Returns
        -------
        DataFrame of shape (n_labels, 2) or (n_labels, 3)
            Columns ``model`` and ``reason``, indexed by ticker, or by (horizon,
            ticker) for several horizons. Features made of signals add
            ``missing_signals``: which of them a ticker is forecast without.
        """
        index = self.layout.columns
        if index is None or self.layout.kind == "series":
            index = pd.Index(self.layout.names)
        names = np.array(self.models, dtype=object)
        cells = {
            "model": names[self.served_by[row]].tolist(),
            "reason": self._texts()[self.reason_number[row]].tolist(),
        }
        if self.without:
            lacking = [
                [signal for signal, lacks in self.without.items() if lacks[row, number]]
                for number in range(len(self.layout.tickers))
            ]
            cells["missing_signals"] = [", ".join(names) for names in lacking]
        index = index.rename("ticker") if index.nlevels == 1 else index
        return pd.DataFrame(cells, index=index)

    def _texts(self) -> np.ndarray:
        """Describe all answers."""
        texts = ["; ".join(map(str, reasons)) for reasons in self.reasons]
        return np.array(texts, dtype=object)


def without_signals(X: Any, provenance: Provenance) -> dict[str, np.ndarray]:
    """Find forecasts `(n_dates, n_labels)` of tickers that lack a signal."""
    named = getattr(X, "attrs", {}).get("signals", {})
    served = provenance.served_by < len(provenance.models) - 1
    lacking = {}
    for signal, feature in named.items():
        columns = [
            f"{ticker}{SEPARATOR}{feature}" for ticker in provenance.layout.tickers
        ]
        places = X.columns.get_indexer(columns)
        if (places >= 0).all():
            lacking[signal] = served & np.isnan(X.to_numpy()[:, places])
    return lacking


def own_provenance(
    name: str,
    forecasts: np.ndarray,
    absent: np.ndarray,
    failures: Sequence[Reason | None],
    notes: Sequence[Reason | None],
    layout: LabelLayout,
    index: pd.Index | None,
) -> Provenance:
    """Describe where forecasts `(n_dates, n_labels)` of a single model come from."""
    finite = np.isfinite(forecasts)
    known = dict.fromkeys(r for r in (*failures, *notes) if r is not None)
    reasons = (*ABSENT_REASONS, (Reason("not_finite"),), *((r,) for r in known))
    first = len(ABSENT_REASONS)
    places = {reason: first + 1 + number for number, reason in enumerate(known)}
    failed = [first if reason is None else places[reason] for reason in failures]
    noted = [0 if reason is None else places[reason] for reason in notes]
    number = np.where(absent > 0, absent, np.array(failed, dtype=np.intp))
    return Provenance(
        (name, NO_MODEL),
        np.where(finite, 0, 1),
        reasons,
        np.where(finite, np.array(noted, dtype=np.intp), number),
        layout,
        index,
    )


def notes_of(model: Any, layout: LabelLayout) -> list[Reason | None]:
    """List for each label why a model forecasts it without what it has learned."""
    notes = getattr(model, "unskilled_", {})
    return [notes.get(name) for name in layout.keys]


def forecast_with_provenance(
    model: Any, features: FeatureBlocks, layout: LabelLayout
) -> tuple[Any, Provenance]:
    """Forecast with any fitted model, and record where each forecast comes from."""
    if hasattr(model, "predict_with_provenance"):
        return model.predict_with_provenance(as_input(model, features))
    forecasts = run_model(model, features, layout)
    provenance = own_provenance(
        type(model).__name__,
        forecasts,
        features.absence(layout.tickers),
        [None] * forecasts.shape[1],
        [None] * forecasts.shape[1],
        layout,
        features.index,
    )
    return layout.wrap(forecasts, features.index), provenance


def fitted_provenance(model: Any) -> pd.DataFrame | None:
    """Look up which model serves each ticker at the last date of `fit`, if known."""
    while hasattr(model, "estimator_") and not hasattr(model, "provenance_"):
        model = model.estimator_
    found = getattr(model, "provenance_", None)
    return found if isinstance(found, pd.DataFrame) else None


def first_choice(model: Any) -> str | None:
    """Name the model that serves a ticker where nothing is amiss, if it is known."""
    if not hasattr(model, "predict_with_provenance"):
        return None
    while hasattr(model, "estimator_"):
        if hasattr(model, "provenance_"):
            return type(model.estimator).__name__
        model = model.estimator_
    return type(model).__name__
