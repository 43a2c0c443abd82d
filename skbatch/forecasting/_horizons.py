"""How far labels look ahead."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skbatch._messages import warn_user
from skbatch.exceptions import HorizonWarning, PanelError
from skbatch.panel.engine import recorded_horizon


def resolve_horizons(
    y: Any, n_labels: int, horizon: int | Literal["auto"]
) -> tuple[int, ...]:
    """Resolve the horizon of each label column."""
    recorded = recorded_horizon(y)
    columns = getattr(y, "columns", None)
    if isinstance(columns, pd.MultiIndex):
        levels = _column_horizons(columns)
        if horizon != "auto" and set(levels) != {horizon}:
            raise _disagreement(horizon, sorted(set(levels)))
        return levels
    if recorded is None:
        return (_assumed_horizon() if horizon == "auto" else int(horizon),) * n_labels
    several = isinstance(recorded, list | tuple | np.ndarray)
    known = set(recorded) if several else {recorded}
    if horizon != "auto":
        if horizon not in known:
            raise _disagreement(horizon, recorded)
        return (int(horizon),) * n_labels
    if len(known) != 1 or not all(map(_is_horizon, known)):
        raise ValueError(
            "y.attrs['horizon'] must be one int of at least 1 for labels with one "
            f"level of columns. Got {recorded!r}. Pass horizon=."
        )
    return (int(known.pop()),) * n_labels


def horizon_parameters(model: Any) -> dict[str, Any]:
    """Read the horizons of a forecaster and of the forecasters inside it."""
    # A parameter of that name in another kind of estimator is not among them.
    own = model.get_params(deep=False)
    found = {"horizon": own["horizon"]} if "horizon" in own else {}
    for name, part in _inner_forecasters(model, own).items():
        inner = horizon_parameters(part)
        found.update({f"{name}__{key}": value for key, value in inner.items()})
    return found


def clone_for(model: Any, horizon: int | tuple[int, ...]) -> Any:
    """Clone a forecaster, with one horizon wherever it has "auto"."""
    model = clone(model)
    if isinstance(horizon, int):
        given = horizon_parameters(model)
        model.set_params(**{name: horizon for name in given if given[name] == "auto"})
    return model


def _inner_forecasters(model: Any, own: dict[str, Any]) -> dict[str, Any]:
    """Find the forecasters inside one, by the names of its parameters `own`."""
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        return {name: last} if hasattr(last, "get_params") else {}
    inside = getattr(model, "_forecaster_parameters", ())
    if {"estimator", "cv", "refit"} <= own.keys():
        inside = ("estimator",)
    parts = {name: own.get(name) for name in ("estimator", "fallback")}
    return {
        name: part
        for name, part in parts.items()
        if part is not None and (name in inside or hasattr(part, "fit_batch"))
    }


def _is_horizon(value: object) -> bool:
    """Whether a value is a number of rows to look ahead."""
    return (
        isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
    )


def _column_horizons(columns: pd.MultiIndex) -> tuple[int, ...]:
    """Read the horizons in the first level of the columns."""
    levels = list(columns.get_level_values(0))
    wrong = [value for value in levels if not _is_horizon(value)]
    if wrong:
        raise PanelError(
            "y must have columns (horizon, ticker), the horizon an int of at least 1. "
            f"Got {wrong[0]!r} as a horizon. Pass labels from forward_returns."
        )
    return tuple(int(value) for value in levels)


def _disagreement(horizon: int, recorded: object) -> ValueError:
    """Create the error for a horizon that is not the one of the labels."""
    return ValueError(
        f"horizon must agree with the labels. Got horizon={horizon} and y made for "
        f"{recorded}. Pass horizon='auto', or correct y.attrs['horizon']."
    )


def _assumed_horizon() -> int:
    """Assume 1 where no horizon is recorded, and warn."""
    warn_user(
        "horizon='auto' must find the horizon in y.attrs['horizon']. Got labels "
        "without it, so horizon 1 is assumed: only the last row of labels is kept "
        "out of training. Pass horizon=, or labels from forward_returns.",
        HorizonWarning,
    )
    return 1
