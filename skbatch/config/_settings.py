"""The settings, derived from the parameters of the classes that they configure.

A setting is named by its path, such as ``"model.max_depth"``. What it may be, its
default and its description are those of the parameter, so that a new parameter becomes
a setting without an edit here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.config._rules import RULES, Rule, constraint_rule, one_of, toml_value
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

__all__ = ["KINDS", "PARTS", "SECTIONS", "SETTINGS", "Part", "Setting", "settings_of"]

KINDS = {
    "xgboost": BatchXGBoostForecaster,
    "linear": BatchLinearForecaster,
    "mean": HistoricalMeanForecaster,
}
SECTIONS = {
    "batch": "How the tickers are divided into batches, and where results are kept.",
    "features": "Which features are computed.",
    "model": "Which model forecasts the returns, and its parameters.",
    "model.target": "What the model learns of the returns.",
    "fallback": "What serves tickers that the model cannot, and which prices are not "
    "to be trusted.",
    "fallback.target": "What the simpler model learns of the returns.",
    "performance": "Which processors do the work.",
}
# Parameters that files cannot express, or that are parts of their own.
_NOT_SETTINGS = {"functions", "market_data", "benchmark", "horizon", "target"}
_NOT_SETTINGS |= {"features", "forecaster", "error_handler", "estimator", "fallback"}


@dataclass(frozen=True)
class Part:
    """A part of a system, the settings of its parameters, and when there is one."""

    owner: type
    prefix: str
    paths: Mapping[str, str]
    needs: Mapping[str, tuple[Any, ...]]


def _paths(owner: type, section: str, **moved: str) -> dict[str, str]:
    """Map the parameters of a class to settings of a section, or of another one."""
    return {
        name: moved.get(name, f"{section}.{name}")
        for name in inspect.signature(owner).parameters
        if name in moved or name not in _NOT_SETTINGS
    }


_ABOVE = {name: name for name in ("horizon", "delay", "preset", "coverage")}
_ABOVE |= {name: f"performance.{name}" for name in ("n_jobs", "engine")}
_SYSTEM = _paths(BatchForecastingSystem, "batch")
_TREES = {"device": "performance.device", "n_jobs": "performance.threads"}
_MODEL, _SIMPLER = "forecaster__estimator__", "forecaster__fallback__"
_BATCH, _FALLBACK = {"batch.enabled": (True,)}, {"fallback.enabled": (True,)}
_LINEAR = {**_FALLBACK, "fallback.model": ("linear",)}
_MEAN = {**_FALLBACK, "fallback.model": ("mean",)}
PARTS = [
    Part(BatchForecastingSystem, "", _ABOVE, {}),
    Part(
        BatchForecastingSystem,
        "",
        {name: path for name, path in _SYSTEM.items() if name not in _ABOVE},
        _BATCH,
    ),
    Part(
        SharedFeatureExtractor,
        "features__",
        _paths(SharedFeatureExtractor, "features"),
        {},
    ),
    *(
        Part(owner, _MODEL, _paths(owner, "model", **_TREES), {"model.kind": (kind,)})
        for kind, owner in KINDS.items()
    ),
    Part(
        ReturnTarget,
        f"{_MODEL}target__",
        _paths(ReturnTarget, "model.target"),
        {"model.kind": ("xgboost", "linear")},
    ),
    Part(
        FallbackForecaster,
        "forecaster__",
        _paths(FallbackForecaster, "fallback"),
        _FALLBACK,
    ),
    Part(KINDS["linear"], _SIMPLER, _paths(KINDS["linear"], "fallback"), _LINEAR),
    Part(KINDS["mean"], _SIMPLER, {"min_labels": "fallback.mean_min_labels"}, _MEAN),
    Part(
        ReturnTarget,
        f"{_SIMPLER}target__",
        _paths(ReturnTarget, "fallback.target"),
        _LINEAR,
    ),
    Part(
        BatchErrorHandler, "error_handler__", _paths(BatchErrorHandler, "fallback"), {}
    ),
]


@dataclass(frozen=True)
class Setting:
    """One setting, of whose rules one must hold.

    `null` is the word for None in files, if it can be None; without one of `needs` it
    has no effect.
    """

    path: str
    default: Any
    description: str
    rules: tuple[Rule, ...]
    null: str = ""
    needs: tuple[Mapping[str, tuple[Any, ...]], ...] = ()

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return "SKBATCH_" + self.path.replace(".", "__").upper()

    @property
    def allowed(self) -> str:
        """What the setting may be."""
        texts = [rule.text for rule in self.rules]
        *others, last = [*texts, toml_value(self.null)] if self.null else texts
        return f"{', '.join(others)} or {last}" if others else last

    def accepts(self, value: Any) -> bool:
        """Return whether a value, as Python has it, is allowed."""
        if value is None:
            return bool(self.null)
        return any(rule.holds(value) for rule in self.rules)

    def text(self, value: Any) -> str:
        """Write a value as files do."""
        return toml_value(self.null if value is None else value)


# What decides which parts there are: the default, what else it may be, what it does.
_CHOICES: dict[str, tuple[Any, Rule, str]] = {
    "batch.enabled": (
        True,
        constraint_rule("boolean"),
        "Forecast all tickers together. If false, robust_forecast_returns takes one "
        "ticker at a time, and a system cannot be made.",
    ),
    "model.kind": (
        "xgboost",
        one_of(*KINDS),
        "Boosted trees, ridge regression, or the historical mean.",
    ),
    "fallback.enabled": (
        True,
        constraint_rule("boolean"),
        "Serve tickers that the model cannot by a simpler one, then by their "
        "historical mean.",
    ),
    "fallback.model": (
        "linear",
        one_of("linear", "mean"),
        "The simpler model: ridge regression or the historical mean.",
    ),
}
_NULLS = {
    "features.families": "all",
    "features.lookback": "auto",
    "performance.threads": "auto",
}


def settings_of(part: Part) -> dict[str, Setting]:
    """List the settings of a part."""
    constraints = getattr(part.owner, "_parameter_constraints", {})
    parameters = inspect.signature(part.owner).parameters
    texts, found = _descriptions(part.owner), {}
    for name, path in part.paths.items():
        default, own = parameters[name].default, constraints.get(name, [])
        optional = default is None or None in own or "random_state" in own
        rules = RULES.get(path) or [constraint_rule(c) for c in own if c is not None]
        null = _NULLS.get(path, "none") if optional else ""
        setting = Setting(path, default, texts[name], tuple(rules), null, (part.needs,))
        found[path] = setting
    return found


def _descriptions(owner: type) -> dict[str, str]:
    """Read the parameters' descriptions from a docstring."""
    text = (inspect.getdoc(owner) or "").partition("Parameters\n----------\n")[2]
    text = re.split(r"\n\n\w+\n-+\n", text)[0]
    entries = re.findall(r"^(\w+) : .*\n((?:(?: .*)?(?:\n|\Z))*)", text, re.MULTILINE)
    return {name: " ".join(body.split()) for name, body in entries}


def _all_settings() -> dict[str, Setting]:
    """List all settings, section by section."""
    found = {p: Setting(p, d, text, (rule,)) for p, (d, rule, text) in _CHOICES.items()}
    found["fallback.model"] = replace(found["fallback.model"], needs=(_FALLBACK,))
    for part in PARTS:
        for path, setting in settings_of(part).items():
            first = found.get(path, replace(setting, needs=()))
            found[path] = replace(first, needs=(*first.needs, part.needs))
    order = ["", *SECTIONS]
    return {p: found[p] for s in order for p in found if p.rpartition(".")[0] == s}


SETTINGS = _all_settings()
