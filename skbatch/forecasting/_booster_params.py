"""Parameters of XGBoost that users add to those of the forecaster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xgboost as xgb

from skbatch._messages import format_tickers
from skbatch.exceptions import ModelFitError
from skbatch.panel.engine import CATEGORY

# From 3.4 on, XGBoost compares `min_child_weight` with the mean over the outputs of a
# vector, before with their sum. The sum is not changed by a ticker without labels.
_WEIGHT_IS_MEAN = tuple(map(int, xgb.__version__.split(".")[:2])) >= (3, 4)
# Forecasts are margins, so the objective must be one of the expected value itself.
OBJECTIVES = ("reg:squarederror", "reg:pseudohubererror")
# XGBoost's names of what has a parameter of its own, and what is not to be changed.
_OWN = {
    "n_estimators": "n_estimators",
    "num_boost_round": "n_estimators",
    "learning_rate": "learning_rate",
    "eta": "learning_rate",
    "max_depth": "max_depth",
    "subsample": "subsample",
    "colsample_bytree": "colsample_bytree",
    "reg_lambda": "reg_lambda",
    "lambda": "reg_lambda",
    "max_bin": "max_bin",
    "early_stopping_rounds": "early_stopping_rounds",
    "device": "device",
    "n_jobs": "n_jobs",
    "nthread": "n_jobs",
    "random_state": "random_state",
    "seed": "random_state",
}
_FIXED = {
    "base_score",
    "booster",
    "disable_default_eval_metric",
    "eval_metric",
    "multi_strategy",
    "num_class",
    "num_target",
    "process_type",
    "tree_method",
    "updater",
}
_BY_NAME = {
    "monotone_constraints": (Mapping, "a dict of feature → 1 or -1"),
    "interaction_constraints": (list | tuple, "lists of features"),
}


def check_params(params: Mapping[str, Any] | None, strategy: str) -> None:
    """Raise unless XGBoost knows, and the forecaster does not set, all parameters."""
    params = params or {}
    for name in params:
        if name in _OWN:
            raise ValueError(
                "`xgb_params` must not hold parameters of the forecaster itself. Got "
                f"{name!r}. Pass {_OWN[name]}= instead."
            )
        if name in _FIXED:
            raise ValueError(
                "`xgb_params` must not hold parameters that the forecaster sets. Got "
                f"{name!r}. Leave it out."
            )
    objective = params.get("objective", OBJECTIVES[0])
    if objective not in OBJECTIVES:
        raise ValueError(
            "`xgb_params` must have an objective of expected values: "
            f"{' or '.join(map(repr, OBJECTIVES))}. Got {objective!r}. Choose one."
        )
    if strategy == "vector" and any(params.get(name) for name in _BY_NAME):
        raise ValueError(
            "`xgb_params` must have no constraints with strategy='vector', because "
            "XGBoost ignores them in trees with vector leaves. Pass strategy='pooled'."
        )
    for name, (kind, rule) in _BY_NAME.items():
        if not isinstance(params.get(name), kind | None):
            raise ValueError(
                f"`{name}` must be {rule}. Got {params[name]!r}. Name the features: "
                "which inputs the trees have, and in which order, may change."
            )
    if params:
        _try(params)


def _try(params: Mapping[str, Any]) -> None:
    """Let XGBoost check names and values by training no tree on a single row."""
    others = {name: params[name] for name in params if name not in _BY_NAME}
    row = xgb.DMatrix(np.zeros((1, 1)), label=np.zeros(1), nthread=1)
    try:
        booster = xgb.train({**others, "verbosity": 0, "nthread": 1}, row, 0)
    except (xgb.core.XGBoostError, TypeError) as error:
        raise ValueError(
            "`xgb_params` must be valid parameters of XGBoost. Got: "
            f"{_first_line(error)}. See XGBoost's documentation of its parameters."
        ) from error
    known = set(_leaves(json.loads(booster.save_config())))
    unknown = sorted(set(others) - known)
    if unknown:
        raise ValueError(
            "`xgb_params` must be parameters that XGBoost uses with this objective. "
            f"Got {', '.join(map(repr, unknown))}. Correct the name, or leave it out."
        )


def _leaves(config: Any) -> Iterator[str]:
    """List the names of the parameters in XGBoost's configuration."""
    if isinstance(config, list):
        for part in config:
            yield from _leaves(part)
    elif isinstance(config, dict):
        for name, value in config.items():
            if isinstance(value, dict | list):
                yield from _leaves(value)
            else:
                yield name


def leaf_weight(params: Mapping[str, Any], y: np.ndarray) -> float:
    """Choose the least weight of a leaf: a thousandth of the rows by default."""
    default = float(np.clip(len(y) / 1000, 1, 100))
    weight = float(params.get("min_child_weight", default))
    if y.ndim == 2 and _WEIGHT_IS_MEAN:
        # A little less, because a third of a sum of 1 is rounded.
        return weight / y.shape[1] * (1 - 1e-6)
    return weight


def constrained(params: Mapping[str, Any]) -> set[str]:
    """Collect the names of the features in constraints."""
    monotone, together = (params.get(name) or () for name in _BY_NAME)
    return {*monotone}.union(*together)


def with_numbers(
    params: Mapping[str, Any], names: Sequence[str] | None
) -> dict[str, Any]:
    """Replace the names of features in constraints by their place among the inputs."""
    out = dict(params)
    monotone, together = (out.get(name) for name in _BY_NAME)
    if monotone is not None:
        _check_names(monotone, names, "monotone_constraints")
        if not set(monotone.values()) <= {-1, 0, 1}:
            raise ValueError(
                "`monotone_constraints` must be -1, 0 or 1. Got "
                f"{sorted(set(monotone.values()) - {-1, 0, 1})[0]!r}. Pass 1 for "
                "forecasts that rise with a feature, and -1 for those that fall."
            )
        ordered = [n for n, sign in monotone.items() if sign and n.endswith(CATEGORY)]
        if ordered:
            raise ValueError(
                "`monotone_constraints` must be on numbers, because categories have no "
                f"order. Got {format_tickers(ordered)}. Leave these features out."
            )
        signs = [str(int(monotone.get(name, 0))) for name in names or ()]
        out["monotone_constraints"] = f"({','.join(signs)})"
    if together is not None:
        used = {name for group in together for name in group}
        _check_names(used, names, "interaction_constraints")
        place = {name: number for number, name in enumerate(names or ())}
        groups = [[place[name] for name in group] for group in together]
        out["interaction_constraints"] = json.dumps(groups)
    return out


def _check_names(given: Any, names: Sequence[str] | None, what: str) -> None:
    """Raise for names that no input of the model has."""
    unknown = sorted(map(str, set(given) - set(names or ())))
    if unknown:
        inputs = "inputs without names" if names is None else format_tickers(names)
        raise ValueError(
            f"`{what}` must name features of X, without their ticker. Got "
            f"{format_tickers(unknown)}; the model has {inputs}. Correct the name."
        )


def translated(error: xgb.core.XGBoostError) -> Exception:
    """Decide whether XGBoost rejected a parameter or failed to train."""
    message = _first_line(error)
    if "Invalid Parameter" in message:
        return ValueError(
            f"The parameters must be valid parameters of XGBoost. Got: {message}. See "
            "the docstring of BatchXGBoostForecaster for what is allowed."
        )
    return ModelFitError(f"XGBoostError: {message}")


def _first_line(error: BaseException) -> str:
    """Shorten an error to what happened."""
    # Without time and place, which would make reasons differ from run to run.
    message = re.sub(r"^\[[\d:]+\] \S+: ", "", str(error).strip())
    return message.partition("\n")[0]
