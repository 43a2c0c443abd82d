"""What the forecasts of a run depend on, hashed by name."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import joblib
import numpy as np
import pandas as pd
import xgboost

from skbatch.batch._batch_task import LabelWeights
from skbatch.exceptions import CheckpointError

PARTS = ("features", "forecaster", "error_handler")
# Parameters of this package's classes on which forecasts do not depend.
_HOW_TO_RUN = {"n_jobs", "engine", "checkpoint_dir", "memory_budget", "cache_size"}
_HOW_TO_RUN |= {"coverage"}
# Functions of the panel, or tables of such.
_OF_PANEL = {"features__functions", "features__universe"}


def run_identity(
    system: Any, panel: pd.DataFrame, weights: LabelWeights | None = None
) -> Mapping[str, str]:
    """Hash the prices, weights and settings of a system's run, by name."""
    identity = {"prices": joblib.hash(panel)}
    if weights is not None:
        identity["sample_weight"] = joblib.hash(weights.table)
    for name, value in _settings(system):
        # The same code may read other files or call other functions tomorrow, so that
        # functions are known by what they return.
        known = _computed(value, panel) if name in _OF_PANEL else value
        try:
            if _has_functions(known):
                raise TypeError("the code of a function can change unnoticed")
            identity[name] = joblib.hash(known)
        except (pickle.PicklingError, TypeError) as error:
            raise CheckpointError(
                "Settings must be comparable between runs for checkpoints. Got "
                f"{name}, which is not ({error}). Pass no checkpoint_dir."
            ) from error
    if system.memory_budget is not None and system.max_batch_size is None:
        # A budget depends on the machine, so the batches of the first run are kept.
        identity["memory_budget"] = "given"
    # Trees of the same settings differ between releases.
    identity["xgboost"] = xgboost.__version__
    return identity


def _settings(system: Any) -> Iterator[tuple[str, Any]]:
    """List the parameters of a system and its parts, by name."""
    for name, value in system.get_params(deep=False).items():
        if name in PARTS:
            yield from _nested(name, system._part(name))
        elif name == "horizon":
            yield name, np.ravel(value)
        elif name not in _HOW_TO_RUN:
            yield name, value


def _nested(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """List a part's class and its parameters, those of parts inside it included."""
    if not hasattr(part, "get_params"):
        yield name, part
        return
    kind = type(part)
    yield name, f"{kind.__module__}.{kind.__qualname__}"
    ours = kind.__module__.startswith("skbatch.")
    for key, value in part.get_params(deep=False).items():
        if not (ours and key in _HOW_TO_RUN):
            yield from _nested(f"{name}__{key}", value)


def _computed(value: Any, panel: pd.DataFrame) -> Any:
    """Call functions of the panel."""
    if isinstance(value, Mapping):
        return {key: _computed(item, panel) for key, item in value.items()}
    return value(panel.copy()) if callable(value) else value


def _has_functions(value: Any) -> bool:
    """Whether there is something in a setting that computes."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_has_functions, value))
    return callable(value) and not isinstance(value, type)
