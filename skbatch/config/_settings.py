"""The settings, derived from the parameters of the classes that they configure.

A setting is named by its path, such as ``"model.max_depth"``. What it may be, its
default and its description are those of the parameter, so that a new parameter becomes
a setting without an edit here.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import isfinite
from numbers import Integral, Real
from typing import Any

from skbatch._sklearn import Interval, StrOptions, make_constraint
from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.feature_extraction import SharedFeatureExtractor, list_features
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

__all__ = ["CHOICES", "KINDS", "SECTIONS", "SETTINGS", "Setting", "idle_settings"]
__all__ += ["make_setting", "parameter_paths", "system_parts", "toml_key", "toml_value"]

KINDS: dict[str, Any] = {
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
# Parameters that are not settings of the section of their part.
_MOVED = {
    (BatchForecastingSystem, "batch.horizon"): "horizon",
    (BatchForecastingSystem, "batch.delay"): "delay",
    (BatchForecastingSystem, "batch.coverage"): "coverage",
    (BatchForecastingSystem, "batch.n_jobs"): "performance.n_jobs",
    (BatchForecastingSystem, "batch.engine"): "performance.engine",
    (BatchXGBoostForecaster, "model.device"): "performance.device",
    (BatchXGBoostForecaster, "model.n_jobs"): "performance.threads",
    (HistoricalMeanForecaster, "fallback.min_labels"): "fallback.mean_min_labels",
}
_NULLS = {
    "features.families": "all",
    "features.lookback": "auto",
    "performance.threads": "auto",
}
_TEXTS = {
    "boolean": "true or false",
    "random_state": "an int in the range [0, 4294967295]",
    str: "text",
    Mapping: "a table of ticker = text or number",
    dict: "a table",
}
# What a part checks itself, or would leave to others.
_COUNT = Interval(Integral, 0, None, closed="left")
_WORKERS = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
]
_CONSTRAINTS: dict[str, list[Any]] = {
    "features.groups": [Mapping],
    "features.signals": [],
    "features.cross_section": [str],
    "features.universe": [str],
    "features.lookback": [_COUNT],
    "features.cache_size": [_COUNT],
    "performance.n_jobs": _WORKERS,
    "performance.threads": _WORKERS,
}
_LISTS = {  # what each item must be, and how many there must be
    "horizon": (Interval(Integral, 1, None, closed="left"), 1),
    "features.families": (StrOptions({"default", *list_features()["family"]}), 1),
    "features.windows": (Interval(Integral, 2, None, closed="left"), 0),
    "features.groups": (str, 1),
    "features.signals": (str, 0),
    "coverage": (Interval(Real, 0, 1, closed="neither"), 1),
}
_PATTERNS = {
    "batch.memory_budget": (
        'a size such as "4GiB" or "500MB"',
        r"\s*(?=.*[1-9])(\d+\.?\d*|\.\d+)\s*[KMGT]?i?B?\s*",
    ),
    "performance.device": (
        '"cpu", "cuda" or a device such as "cuda:1"',
        "cpu|(cuda|gpu)(:[0-9]+)?",
    ),
    "features.cross_section": (
        "rank, zscore, or a grouping with _ and one of these",
        ".*(rank|zscore)",
    ),
}


def toml_value(value: Any) -> str:
    """Write a value as TOML does; tables in a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that it leaves the delete character alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def toml_key(key: Any) -> str:
    """Write a key as TOML does."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", str(key)) else toml_value(str(key))


@dataclass(frozen=True)
class Setting:
    """One setting: what it may be, in words and as tests, and the word for None."""

    path: str
    default: Any
    description: str
    rules: Mapping[str, Callable[[Any], bool]]
    null: str = ""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return "SKBATCH_" + self.path.replace(".", "__").upper()

    @property
    def allowed(self) -> str:
        """What the setting may be."""
        *others, last = (*self.rules, *([f'"{self.null}"'] if self.null else []))
        return f"{', '.join(others)} or {last}" if others else last

    def accepts(self, value: Any) -> bool:
        """Return whether a value, as Python has it, is allowed."""
        if value is None or value == self.null:
            return value is None and self.null != ""
        return any(holds(value) for holds in self.rules.values())

    def text(self, value: Any) -> str:
        """Write a value as files do."""
        return toml_value(self.null if value is None else value)

    def chosen(self, values: Mapping[str, Any]) -> Any:
        """Return the value if it is valid, else the default."""
        value = values.get(self.path, self.default)
        return value if self.accepts(value) else self.default


def _rules(constraints: list[Any], path: str) -> dict[str, Callable[[Any], bool]]:
    """Convert the constraints that values of files can meet to texts and tests."""
    rules: dict[str, Callable[[Any], bool]] = {}
    for constraint in constraints:
        if constraint is str and path in _PATTERNS:
            text, pattern = _PATTERNS[path]
            rules[text] = partial(_matches, pattern)
        elif isinstance(constraint, StrOptions):
            text = " or ".join(map(toml_value, sorted(constraint.options)))
            rules[text] = partial(_meets, constraint)
        elif isinstance(constraint, Interval) or constraint in _TEXTS:
            text = _TEXTS.get(constraint) or str(constraint)
            rules[text] = partial(_meets, constraint)
    rules |= _TABLES.get(path, {})
    if path in _LISTS:
        item, least = _LISTS[path]
        text = f"a list of different items, each {' or '.join(_rules([item], ''))}"
        rules[text] = partial(_is_list, item, least)
    return rules


def _meets(constraint: Any, value: Any) -> bool:
    if isinstance(value, dict) and constraint is Mapping:
        return value != {} and all(map(_is_entry, value.items()))
    if isinstance(value, dict):
        return constraint is dict and all(isinstance(key, str) for key in value)
    if isinstance(value, bool) or constraint == "boolean":
        return isinstance(value, bool) and constraint == "boolean"
    plain = isinstance(value, str | int | float) and value != ""
    return plain and bool(make_constraint(constraint).is_satisfied_by(value))


def _is_entry(pair: tuple[Any, Any]) -> bool:
    key, value = pair
    number = type(value) in (int, float) and isfinite(value)
    return isinstance(key, str) and (number or isinstance(value, str))


def _is_list(item: Any, least: int, value: Any) -> bool:
    whole = isinstance(value, tuple) and all(_meets(item, v) for v in value)
    return whole and least <= len(value) == len(set(value))


def _matches(pattern: str, value: Any) -> bool:
    flags = re.IGNORECASE | re.ASCII
    return isinstance(value, str) and re.fullmatch(pattern, value, flags) is not None


_TABLES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "features.groups": {
        "a table of name = table of ticker = group": lambda value: (
            isinstance(value, dict)
            and value != {}
            and all(_meets(Mapping, table) for table in value.values())
        )
    },
    "features.signals": {
        "a table of signal = list of features": lambda value: (
            isinstance(value, dict)
            and all(_is_list(str, 0, names) for names in value.values())
        )
    },
}


def _choice(path: str, options: list[Any], text: str) -> Setting:
    own = ["boolean"] if True in options else [StrOptions({*options})]
    return Setting(path, options[0], text, _rules(own, path))


# What decides which parts a system has, and so which other settings have an effect.
CHOICES = {
    "batch.enabled": _choice(
        "batch.enabled",
        [True, False],
        "Forecast all tickers together. If false, robust_forecast_returns takes one "
        "ticker at a time, and a system cannot be made.",
    ),
    "model.kind": _choice(
        "model.kind",
        list(KINDS),
        "Boosted trees, ridge regression, or the historical mean.",
    ),
    "fallback.enabled": _choice(
        "fallback.enabled",
        [True, False],
        "Serve tickers that the model cannot by a simpler one, then by their "
        "historical mean.",
    ),
    "fallback.model": _choice(
        "fallback.model",
        ["linear", "mean"],
        "The simpler model: ridge regression or the historical mean.",
    ),
}


def system_parts(values: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Map the prefix of each part's parameters to its class and section."""
    chosen = {path: setting.chosen(values) for path, setting in CHOICES.items()}
    model = KINDS[chosen["model.kind"]], "model"
    parts = {
        "": (BatchForecastingSystem, "batch"),
        "features__": (SharedFeatureExtractor, "features"),
        "error_handler__": (BatchErrorHandler, "fallback"),
        "forecaster__": model,
    }
    if chosen["fallback.enabled"]:
        parts |= {
            "forecaster__": (FallbackForecaster, "fallback"),
            "forecaster__estimator__": model,
            "forecaster__fallback__": (KINDS[chosen["fallback.model"]], "fallback"),
        }
    for prefix, (owner, section) in list(parts.items()):
        if "target" in inspect.signature(owner).parameters:
            parts[f"{prefix}target__"] = ReturnTarget, f"{section}.target"
    return parts


def _all_paths(values: Mapping[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """Map the parameters of a system to class, name and path."""
    found = {}
    for prefix, (owner, section) in system_parts(values).items():
        for name in inspect.signature(owner).parameters:
            path = f"{section}.{name}"
            found[f"{prefix}{name}"] = owner, name, _MOVED.get((owner, path), path)
    return found


def parameter_paths(values: Mapping[str, Any]) -> dict[str, str]:
    """Map the parameters of a system with these choices to their settings."""
    paths = {name: path for name, (_, _, path) in _all_paths(values).items()}
    batch = CHOICES["batch.enabled"].chosen(values)
    return {
        name: path
        for name, path in paths.items()
        if path in SETTINGS and (batch or not path.startswith("batch."))
    }


def idle_settings(values: Mapping[str, Any]) -> dict[str, str]:
    """Map settings without effect to the choice that makes them so."""
    fallback = CHOICES["fallback.enabled"].chosen(values)
    used = {*parameter_paths(values).values(), *CHOICES}
    used -= set() if fallback else {"fallback.model"}
    choices = {
        "batch": "batch.enabled",
        "fallback": "fallback.model" if fallback else "fallback.enabled",
    }
    idle = (path for path in SETTINGS if path not in used)
    return {path: choices.get(path.partition(".")[0], "model.kind") for path in idle}


def make_setting(owner: type, name: str, path: str) -> Setting | None:
    """Create a setting of a parameter, unless no file can hold what it may be."""
    own = getattr(owner, "_parameter_constraints", {}).get(name, [])
    rules = _rules(_CONSTRAINTS.get(path, own), path)
    default = inspect.signature(owner).parameters[name].default
    optional = default is None or None in own or "random_state" in own
    entry = rf"^{name} : .*\n((?:(?: .*)?(?:\n|\Z))*)"
    text = re.search(entry, inspect.getdoc(owner) or "", re.MULTILINE)
    description = " ".join(text[1].split()) if text else ""
    null = _NULLS.get(path, "none") if optional else ""
    return Setting(path, default, description, rules, null) if rules else None


def _all_settings() -> dict[str, Setting]:
    """Create all settings, section by section."""
    found = dict(CHOICES)
    for kind, simpler in product(KINDS, ("linear", "mean")):
        choices = {"model.kind": kind, "fallback.model": simpler}
        for owner, name, path in _all_paths(choices).values():
            setting = None if path in found else make_setting(owner, name, path)
            # The horizon of the forecasters is the system's.
            if setting and not path.endswith(".horizon"):
                found[path] = setting
    order = ["", *SECTIONS]
    return {p: found[p] for s in order for p in found if p.rpartition(".")[0] == s}


SETTINGS = _all_settings()
