"""The settings, derived from the constructors whose parameters they are.

A setting is named by its path, such as ``("model", "max_depth")``. What it may be, its
default and its description are those of the parameter, so that a new parameter becomes
a setting without an edit here.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from numbers import Integral, Real
from typing import Any

from skbatch._sklearn import Interval, StrOptions, make_constraint
from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.config._toml import toml_value
from skbatch.feature_extraction import SharedFeatureExtractor, list_features
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

__all__ = [
    "KINDS",
    "PARTS",
    "PREFIX",
    "SECTIONS",
    "SETTINGS",
    "Part",
    "Path",
    "Setting",
    "idle",
]

Path = tuple[str, ...]
PREFIX = "SKBATCH_"
KINDS = {
    "xgboost": BatchXGBoostForecaster,
    "linear": BatchLinearForecaster,
    "mean": HistoricalMeanForecaster,
}
KIND: Path = ("model", "kind")
FALLBACK: Path = ("fallback", "model")
ENABLED: Path = ("fallback", "enabled")
BATCH: Path = ("batch", "enabled")


# Parameters that files cannot express, or that are parts of their own.
_NOT_SETTINGS = {"functions", "market_data", "benchmark", "horizon", "target"}
_NOT_SETTINGS |= {"features", "forecaster", "error_handler", "estimator", "fallback"}


@dataclass(frozen=True)
class Part:
    """An object that settings make: its class, their section, and exceptions to it."""

    owner: type
    section: Path
    moved: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Parameter → path of its setting."""
        return {
            name: self.moved.get(name, (*self.section, name))
            for name in signature(self.owner).parameters
            if name in self.moved or name not in _NOT_SETTINGS
        }


_PROCESSORS = {name: ("performance", name) for name in ("n_jobs", "engine")}
_THREADS = {"n_jobs": ("performance", "threads"), "device": ("performance", "device")}
PARTS = {
    "system": Part(
        BatchForecastingSystem,
        ("batch",),
        {"horizon": ("horizon",), "preset": ("preset",), **_PROCESSORS},
    ),
    "features": Part(SharedFeatureExtractor, ("features",)),
    "model.xgboost": Part(KINDS["xgboost"], ("model",), _THREADS),
    "model.linear": Part(KINDS["linear"], ("model",)),
    "model.mean": Part(KINDS["mean"], ("model",)),
    "model.target": Part(ReturnTarget, ("model", "target")),
    "fallback": Part(FallbackForecaster, ("fallback",)),
    "fallback.linear": Part(KINDS["linear"], ("fallback",)),
    "fallback.mean": Part(
        KINDS["mean"], ("fallback",), {"min_labels": ("fallback", "mean_min_labels")}
    ),
    "fallback.target": Part(ReturnTarget, ("fallback", "target")),
    "error_handler": Part(BatchErrorHandler, ("fallback",)),
}
SECTIONS: dict[Path, str] = {
    ("batch",): "How the tickers are divided into batches, and where results are kept.",
    ("features",): "Which features are computed.",
    ("model",): "Which model forecasts the returns, and its parameters.",
    ("model", "target"): "What the model learns of the returns.",
    ("fallback",): "What serves tickers that the model cannot, and which prices are "
    "not to be trusted.",
    ("fallback", "target"): "What the simpler model learns of the returns.",
    ("performance",): "Which processors do the work.",
}

Rule = tuple[str, Callable[[Any], Any]]


# What decides which parts there are: the default, what it may be, what it does.
_CHOICES: dict[Path, tuple[tuple, str]] = {
    BATCH: (
        (True, False),
        "Forecast all tickers together. If false, robust_forecast_returns takes one "
        "ticker at a time, and a system cannot be made.",
    ),
    KIND: (tuple(KINDS), "Boosted trees, ridge regression, or the historical mean."),
    ENABLED: (
        (True, False),
        "Serve tickers that the model cannot by a simpler one, then by their "
        "historical mean.",
    ),
    FALLBACK: (
        ("linear", "mean"),
        "The simpler model: ridge regression or the historical mean.",
    ),
}


@dataclass(frozen=True)
class Setting:
    """One setting: its default, what it does, and the rules of which one must hold.

    `null` is the word for None in files, if it can be None; `parts` have it as a
    parameter.
    """

    path: Path
    default: Any
    description: str
    rules: tuple[Rule, ...]
    null: str = ""
    parts: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return PREFIX + "__".join(self.path).upper()

    @property
    def allowed(self) -> str:
        """What the setting may be."""
        texts = [text for text, _ in self.rules if text]
        *others, last = [*texts, toml_value(self.null)] if self.null else texts
        return f"{', '.join(others)} or {last}" if others else last

    def accepts(self, value: Any) -> bool:
        """Return whether a value is allowed.

        Parameters
        ----------
        value : object
            The value, as Python has it.

        Returns
        -------
        bool
            Whether one of the rules holds.
        """
        if value is None:
            return bool(self.null)
        return any(rule(value) for _, rule in self.rules)

    def text(self, value: Any) -> str:
        """Write a value as files do.

        Parameters
        ----------
        value : object
            The value, as Python has it.

        Returns
        -------
        str
            TOML.
        """
        return toml_value(self.null if value is None else value)


def _distinct(least: int) -> Callable[[Any], bool]:
    """Make the rule of a list of different integers."""
    return lambda value: (
        isinstance(value, tuple)
        and all(_is_integer(item) and item >= least for item in value)
        and len(set(value)) == len(value)
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str)
        and isinstance(item, str | int | float)
        and not isinstance(item, bool)
        and (isinstance(item, str) or math.isfinite(item))
        for key, item in value.items()
    )


def _is_uniform(value: Any) -> bool:
    is_text = [isinstance(item, str) for item in value.values()]
    return bool(value) and (all(is_text) or not any(is_text))


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern, re.IGNORECASE | re.ASCII)
    return lambda value: (
        isinstance(value, str) and compiled.fullmatch(value) is not None
    )


_FAMILIES = sorted(set(list_features()["family"]))
_SIZE = r"\s*(?=.*[1-9])(\d+\.?\d*|\.\d+)\s*[KMGT]?i?B?\s*"
_WHOLE: Rule = ("an integer of at least 0", lambda v: _is_integer(v) and v >= 0)
_WORKERS: Rule = (
    "an integer other than 0 (below 0 counts from the cores)",
    lambda v: _is_integer(v) and v != 0,
)
# Where the constraints of a parameter do not say all, as its class checks the rest.
_RULES: dict[Path, tuple[Rule, ...]] = {
    ("horizon",): (
        ("an integer of at least 1", lambda v: _is_integer(v) and v >= 1),
        ("a list of different ones", lambda v: bool(v) and _distinct(1)(v)),
    ),
    ("batch", "memory_budget"): (
        ("a number of bytes", lambda v: _is_integer(v) and v >= 1),
        (
            "a share of the available memory up to 1.0",
            lambda v: isinstance(v, float) and 0 < v <= 1,
        ),
        ('a size such as "4GiB" or "500MB"', _matches(_SIZE)),
    ),
    ("batch", "groups"): (
        (
            "a table of ticker = label or of ticker = number",
            lambda v: _is_table(v) and _is_uniform(v),
        ),
        ('"correlation"', _matches("correlation")),
    ),
    ("batch", "checkpoint_dir"): (
        ("a folder", lambda v: isinstance(v, str) and v != ""),
    ),
    ("features", "families"): (
        (
            f"a list of {', '.join(_FAMILIES)}",
            lambda v: isinstance(v, tuple) and bool(v) and set(v) <= set(_FAMILIES),
        ),
    ),
    ("features", "windows"): (
        ("a list of different integers of at least 2", _distinct(2)),
    ),
    ("features", "groups"): (
        ("a table of ticker = group", lambda v: _is_table(v) and bool(v)),
    ),
    ("features", "lookback"): (_WHOLE,),
    ("features", "cache_size"): (_WHOLE,),
    ("performance", "n_jobs"): (_WORKERS,),
    ("performance", "threads"): (_WORKERS,),
    ("performance", "device"): (
        (
            '"cpu", "cuda" or a device such as "cuda:1"',
            _matches(r"cpu|(cuda|gpu)(:[0-9]+)?"),
        ),
    ),
}
_NULLS: dict[Path, str] = {
    ("features", "families"): "all",
    ("features", "lookback"): "auto",
    ("performance", "threads"): "auto",
}


def _rule(constraint: Any) -> Rule:
    """Turn a constraint of scikit-learn into words and a function."""
    made = make_constraint(constraint)

    def accepts(value: Any) -> bool:
        if isinstance(value, bool) != (constraint == "boolean"):
            return False
        if not isinstance(value, str | int | float | tuple | dict):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return value != "" and bool(made.is_satisfied_by(value))

    if isinstance(constraint, Interval):
        return _interval_text(constraint), accepts
    if isinstance(constraint, StrOptions):
        return " or ".join(map(toml_value, sorted(constraint.options))), accepts
    names: dict[Any, str] = {
        "boolean": "true or false",
        "random_state": "an integer from 0 to 4294967295",
        str: "text",
        Integral: "an integer",
        Real: "a number",
    }
    return names.get(constraint, ""), accepts


def _interval_text(interval: Interval) -> str:
    """Describe a range of numbers."""
    text = "an integer" if interval.type is Integral else "a number"
    bounds = []
    if interval.left is not None:
        word = "of at least" if interval.closed in ("left", "both") else "above"
        bounds.append(f"{word} {interval.left}")
    if interval.right is not None:
        word = "at most" if interval.closed in ("right", "both") else "below"
        bounds.append(f"{word} {interval.right}")
    return f"{text} {' and '.join(bounds)}".rstrip()


def _descriptions(owner: type) -> dict[str, str]:
    """Read the parameters' descriptions from a docstring."""
    text = (inspect.getdoc(owner) or "").partition("Parameters\n----------\n")[2]
    text = re.split(r"\n\n\w+\n-+\n", text)[0]
    entries = re.findall(r"^(\w+) : .*\n((?:(?: .*)?(?:\n|\Z))*)", text, re.MULTILINE)
    return {name: " ".join(body.split()) for name, body in entries}


def settings_of(name: str, part: Part) -> dict[Path, Setting]:
    """List the settings of a part."""
    constraints = getattr(part.owner, "_parameter_constraints", {})
    texts, parameters = _descriptions(part.owner), signature(part.owner).parameters
    found = {}
    for key, path in part.paths.items():
        own = [c for c in constraints.get(key, ()) if c is not None]
        default = parameters[key].default
        optional = default is None or None in constraints.get(key, ())
        optional |= "random_state" in own
        rules = _RULES.get(path) or tuple(map(_rule, own))
        rules = rules or (("a value", lambda value: True),)
        null = _NULLS.get(path, "none") if optional else ""
        found[path] = Setting(path, default, texts.get(key, ""), rules, null, (name,))
    return found


def _all_settings() -> dict[Path, Setting]:
    """List all settings, section by section."""
    found = {}
    for path, (options, text) in _CHOICES.items():
        rule = " or ".join(map(toml_value, options)), options.__contains__
        found[path] = Setting(path, options[0], text, (rule,))
    for name, part in PARTS.items():
        for path, setting in settings_of(name, part).items():
            first = found.get(path, setting)
            parts = (*first.parts, name) if path in found else (name,)
            found[path] = replace(first, parts=parts)
    sections: list[Path] = [(), *SECTIONS]
    return {p: found[p] for section in sections for p in found if p[:-1] == section}


SETTINGS: dict[Path, Setting] = _all_settings()


def idle(values: Mapping[Path, Any]) -> dict[Path, str]:
    """Map settings without effect to the choice that makes them so."""
    kind, simpler = (values.get(p, SETTINGS[p].default) for p in (KIND, FALLBACK))
    enabled = values.get(ENABLED) is not False
    used = {"system", "features", "error_handler", f"model.{kind}"}
    used |= {"fallback", f"fallback.{simpler}"} if enabled else set()
    for name in used & {f"{s}.{k}" for s in ("model", "fallback") for k in KINDS}:
        if "target" in signature(PARTS[name].owner).parameters:
            used = used | {f"{name.partition('.')[0]}.target"}
    off = "fallback.enabled = false"
    reasons = dict.fromkeys(["model", "performance"], f'model.kind = "{kind}"')
    reasons["fallback"] = f'fallback.model = "{simpler}"' if enabled else off
    found = {
        path: reasons[path[0]]
        for path, setting in SETTINGS.items()
        if setting.parts and not used & set(setting.parts)
    }
    found |= {} if enabled else {FALLBACK: off}
    if values.get(BATCH) is False:
        own = [path for path in SETTINGS if path[0] == "batch" and path != BATCH]
        found |= dict.fromkeys(own, "batch.enabled = false")
    return found
