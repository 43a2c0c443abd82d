"""The settings, derived from the parameters of the classes that they configure.

A setting is named by its path, such as ``"model.max_depth"``. What it may be, its
default and its description are those of the parameter, so that a new parameter becomes
a setting without an edit here.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Integral
from typing import Any

from skbatch._sklearn import Interval, ListOf, StrOptions, TextOf, make_constraint
from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

Values = dict[str, Any]

KINDS: dict[str, Any] = {
    "xgboost": BatchXGBoostForecaster,
    "linear": BatchLinearForecaster,
    "mean": HistoricalMeanForecaster,
}
SECTIONS = {
    "batch": "How the tickers are divided into batches, and where results are kept.",
    "features": "Which features are computed.",
    "model": "Which model forecasts the returns, and its parameters.",
    "model.target": "Which part of the returns the model learns, and how.",
    "fallback": "Which models serve tickers that the main model cannot, and which "
    "prices are rejected.",
    "fallback.target": "Which part of the returns the simpler model learns, and how.",
    "performance": "Which hardware does the work, and in how many parallel parts.",
}
# Parameters of a system, or paths, that are not settings of their part's section.
_ABOVE = ("horizon", "delay", "coverage", "delisting_return")
_MOVED = {name: name for name in _ABOVE} | {
    "n_jobs": "performance.n_jobs",
    "engine": "performance.engine",
    "model.device": "performance.device",
    "model.n_jobs": "performance.threads",
    "forecaster__fallback__min_labels": "fallback.mean_min_labels",
}
# Words for None other than "none".
_NULLS = {"features.families": "all"}
_NULLS |= dict.fromkeys(["features.lookback", "performance.threads"], "auto")
# Constraints of scikit-learn that do not describe themselves in the words of a file.
_WORDS: dict[Any, str] = {
    "boolean": "true or false",
    "random_state": f"a whole number from 0 to {2**32 - 1}",
    str: "text",
    dict: "a table",
    Mapping: "a table",
}


@dataclass(frozen=True)
class Setting:
    """One setting: the constraints of its parameter, and the word for None."""

    path: str
    default: Any
    description: str
    rules: tuple[Any, ...]
    null: str = ""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return "SKBATCH_" + self.path.replace(".", "__").upper()

    @property
    def allowed(self) -> str:
        """What the setting may be."""
        words = [word for rule in self.rules for word in _words(rule)]
        words += [show(self.null)] if self.null else []
        before = ", ".join(words[:-1])
        return " or ".join(filter(None, [before, *words[-1:]]))

    def accepts(self, value: Any) -> bool:
        """Return whether a value, as Python has it, is allowed."""
        if value is None or (isinstance(value, str) and value == self.null):
            return value is None and self.null != ""
        # Numbers of scikit-learn's intervals may be bools.
        rules = (r for r in self.rules if isinstance(value, bool) == (r == "boolean"))
        return _fits_file(value) and any(
            make_constraint(rule).is_satisfied_by(value) for rule in rules
        )

    def is_default(self, value: Any) -> bool:
        """Return whether a value, such as an int beside a float, is the default."""
        return type(value) is type(self.default) and bool(value == self.default)

    def text(self, value: Any) -> str:
        """Write a value as files do."""
        return show(self.null if value is None else value)


def show(value: Any) -> str:
    """Write a value on one line: numbers, text and lists as in TOML, all as in JSON."""
    return json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)


def _words(rule: Any) -> list[str]:
    """Put a constraint into words, if values of files can meet it."""
    if isinstance(rule, StrOptions):
        return list(map(show, sorted(rule.options)))
    if isinstance(rule, ListOf):
        items = " or ".join(_words(rule.item))
        return [f"a list of different items, each {items}"]
    if isinstance(rule, Interval):
        return [_range(rule)]
    if isinstance(rule, TextOf):
        return [str(rule)]
    return [_WORDS[rule]] if rule in _WORDS else []


def _range(rule: Interval) -> str:
    """Put an interval of numbers into words."""
    noun = "a whole number" if rule.type is Integral else "a number"
    low, high = (
        None if bound is None or not isfinite(bound) else f"{bound:.12g}"
        for bound in (rule.left, rule.right)
    )
    if low and high and rule.closed == "both":
        return f"{noun} from {low} to {high}"
    above = "of at least" if rule.closed in ("left", "both") else "above"
    below = "at most" if rule.closed in ("right", "both") else "below"
    if low and high:
        return f"{noun} {above} {low} and {below} {high}"
    if low:
        return f"{noun} {above} {low}"
    return f"{noun} of {below} {high}" if below == "at most" else f"{noun} below {high}"


def _fits_file(value: Any) -> bool:
    """Return whether a file can hold a value, and need not leave it empty."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _fits_file(value[key]) for key in value)
    if isinstance(value, tuple):
        return all(map(_fits_file, value))
    if isinstance(value, str):
        return value != ""
    return isinstance(value, int | float) and isfinite(value)


# What decides which parts a system has, and so which other settings have an effect.
_CHOICES: list[tuple[str, Any, Any, str]] = [
    (
        "batch.enabled",
        True,
        "boolean",
        "Forecast all tickers together. If false, robust_forecast_returns takes one "
        "ticker at a time, and a system cannot be created.",
    ),
    (
        "model.kind",
        "xgboost",
        StrOptions({*KINDS}),
        "Boosted trees, ridge regression, or the historical mean.",
    ),
    (
        "fallback.enabled",
        True,
        "boolean",
        "Forecast tickers that the model cannot with a simpler model, then with their "
        "historical mean.",
    ),
    (
        "fallback.model",
        "linear",
        StrOptions({"linear", "mean"}),
        "The simpler model: ridge regression or the historical mean.",
    ),
]
CHOICES = {
    path: Setting(path, default, text, (rule,))
    for path, default, rule, text in _CHOICES
}


def choose(values: Values) -> Values:
    """Take the choices from settings, or the default where one is wrong."""
    made = {path: choice.default for path, choice in CHOICES.items()}
    return made | {p: values[p] for p in made if CHOICES[p].accepts(values.get(p))}


def make_system(choices: Values) -> BatchForecastingSystem:
    """Create a system of the chosen parts, with their defaults."""
    models = [KINDS[choices["model.kind"]](), KINDS[choices["fallback.model"]]()]
    for model in models:
        if "target" in model.get_params():
            model.target = ReturnTarget()
    return BatchForecastingSystem(
        features=SharedFeatureExtractor(),
        forecaster=FallbackForecaster(*models)
        if choices["fallback.enabled"]
        else models[0],
        error_handler=BatchErrorHandler(),
    )


def setting_paths(system: BatchForecastingSystem) -> dict[str, str]:
    """Map the parameters of a system to paths, which may be none of settings."""
    params = system.get_params()
    model = next(n for n in ("forecaster__estimator", "forecaster") if n in params)
    sections = {"": "batch", "features": "features", model: "model"}
    sections[f"{model}__target"] = "model.target"
    sections["forecaster__fallback__target"] = "fallback.target"
    found = {}
    for name in params:
        part, _, key = name.rpartition("__")
        path = f"{sections.get(part, 'fallback')}.{key}"
        found[name] = _MOVED.get(name, _MOVED.get(path, path))
    return found


def used_settings(values: Values) -> set[str]:
    """Find the settings that have an effect beside the choices among some."""
    choices = choose(values)
    used = {*setting_paths(make_system(choices)).values(), *CHOICES}
    if not choices["fallback.enabled"]:
        used.remove("fallback.model")
    if not choices["batch.enabled"]:
        used -= {p for p in used if p.startswith("batch.") and p not in CHOICES}
    return used


def make_setting(owner: Any, key: str, path: str) -> Setting:
    """Create a setting of a parameter."""
    constraints = getattr(owner, "_parameter_constraints", {}).get(key, [])
    default = inspect.signature(owner).parameters[key].default
    entry = rf"^{key} : .*\n((?:(?: .*)?(?:\n|\Z))*)"
    text = re.search(entry, inspect.getdoc(owner) or "", re.MULTILINE)
    optional = default is None or None in constraints or "random_state" in constraints
    return Setting(
        path,
        default,
        " ".join(text[1].split()) if text else "",
        tuple(constraints),
        _NULLS.get(path, "none") if optional else "",
    )


def _all_settings() -> dict[str, Setting]:
    """Create all settings, section by section."""
    found = dict(CHOICES)
    for kind in KINDS:
        # Between them, the fallbacks are all kinds of simpler models, too.
        system = make_system(choose({"model.kind": kind, "fallback.model": kind}))
        paths, parts = setting_paths(system), {"": system, **system.get_params()}
        for part in (name for name in parts if hasattr(parts[name], "get_params")):
            for key in inspect.signature(type(parts[part])).parameters:
                path = paths[f"{part}__{key}" if part else key]
                setting = make_setting(type(parts[part]), key, path)
                # The horizon of the forecasters is the system's.
                if any(map(_words, setting.rules)) and not path.endswith(".horizon"):
                    found.setdefault(path, setting)
    order = ["", *SECTIONS]
    return {p: found[p] for s in order for p in found if p.rpartition(".")[0] == s}


SETTINGS = _all_settings()
