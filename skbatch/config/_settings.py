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
from math import isfinite
from numbers import Integral, Real
from typing import Any

from skbatch._sklearn import Interval, StrOptions
from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.feature_extraction import SharedFeatureExtractor, list_features
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

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


def toml_value(value: Any) -> str:
    """Write a value as TOML does; tables in a line."""
    if isinstance(value, bool | str):
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


# --- What a value may be: in words, and as a test.
Rule = tuple[str, Callable[[Any], bool]]


def _matches(pattern: str) -> Callable[[Any], bool]:
    test = re.compile(pattern, re.IGNORECASE | re.ASCII)
    return lambda value: isinstance(value, str) and bool(test.fullmatch(value))


def _within(interval: Interval) -> Rule:
    return str(
        interval
    ), lambda value: type(value) in (int, float) and interval.is_satisfied_by(value)


def _table(words: str, holds: Callable[[Any], bool], least: int = 1) -> Rule:
    return (
        f"a table{words}",
        lambda value: (
            isinstance(value, dict)
            and len(value) >= least
            and all(isinstance(key, str) and holds(value[key]) for key in value)
        ),
    )


def _list(constraint: Any, least: int = 1) -> Rule:
    words, holds = _rule(constraint) or ("", bool)
    return (
        f"a list of different items, each {words}",
        lambda value: (
            isinstance(value, tuple)
            and all(map(holds, value))
            and least <= len(value) == len(set(value))
        ),
    )


def _from(least: int) -> Interval:
    return Interval(Integral, least, None, closed="left")


_GROUP = _table(
    " of ticker = text or number",
    lambda value: (
        isinstance(value, str) or (type(value) in (int, float) and isfinite(value))
    ),
)
_RULES: dict[Any, Rule] = {
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "random_state": _within(Interval(Integral, 0, 2**32 - 1, closed="both")),
    str: ("text", lambda value: isinstance(value, str) and value != ""),
    dict: _table("", lambda value: True, least=0),
    Mapping: _GROUP,
}


def _rule(constraint: Any) -> Rule | None:
    """Put a constraint of scikit-learn into words, if values of files can meet it."""
    if isinstance(constraint, StrOptions):
        words = " or ".join(map(toml_value, sorted(constraint.options)))
        return words, constraint.is_satisfied_by
    if isinstance(constraint, Interval):
        return _within(constraint)
    return constraint if isinstance(constraint, tuple) else _RULES.get(constraint)


_WORKERS = [_from(1), Interval(Integral, None, -1, closed="right")]
_SIZE = r"\s*(?=.*[1-9])(\d+\.?\d*|\.\d+)\s*[KMGT]?i?B?\s*"
_DEVICE = "cpu|(cuda|gpu)(:[0-9]+)?"
_COMPARISON = "rank, zscore, or a grouping with _ and one of these"
# What a part checks itself, or would leave to others.
_MORE: dict[str, list[Any]] = {
    "horizon": [_list(_from(1))],
    "coverage": [_list(Interval(Real, 0, 1, closed="neither"))],
    "batch.memory_budget": [('a size such as "4GiB" or "500MB"', _matches(_SIZE))],
    "features.families": [_list(StrOptions({"default", *list_features()["family"]}))],
    "features.windows": [_list(_from(2), least=0)],
    "features.groups": [
        Mapping,
        _table(" of name = table of ticker = group", _GROUP[1]),
        _list(str),
    ],
    "features.signals": [
        _table(" of signal = list of features", _list(str, least=0)[1], least=0),
        _list(str, least=0),
    ],
    "features.cross_section": [(_COMPARISON, _matches(".*(rank|zscore)"))],
    "features.universe": [str],
    "features.lookback": [_from(0)],
    "features.cache_size": [_from(0)],
    "model.target.relative": [_list(str)],
    "fallback.target.relative": [_list(str)],
    "performance.n_jobs": _WORKERS,
    "performance.threads": _WORKERS,
    "performance.device": [
        ('"cpu", "cuda" or a device such as "cuda:1"', _matches(_DEVICE))
    ],
}


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


# What decides which parts a system has, and so which other settings have an effect.
_CHOICES: dict[str, tuple[Any, Any, str]] = {
    "batch.enabled": (
        True,
        "boolean",
        "Forecast all tickers together. If false, robust_forecast_returns takes one "
        "ticker at a time, and a system cannot be created.",
    ),
    "model.kind": (
        "xgboost",
        StrOptions({*KINDS}),
        "Boosted trees, ridge regression, or the historical mean.",
    ),
    "fallback.enabled": (
        True,
        "boolean",
        "Serve tickers that the model cannot by a simpler one, then by their "
        "historical mean.",
    ),
    "fallback.model": (
        "linear",
        StrOptions({"linear", "mean"}),
        "The simpler model: ridge regression or the historical mean.",
    ),
}


CHOICES = {
    path: Setting(path, default, text, dict(filter(None, [_rule(rule)])))
    for path, (default, rule, text) in _CHOICES.items()
}


def parameter_owners(values: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Map the parameters of a system with these choices to class and path."""
    chosen = {path: choice.chosen(values) for path, choice in CHOICES.items()}
    model = KINDS[chosen["model.kind"]], "model"
    parts: dict[str, tuple[Any, str]] = {
        "": (BatchForecastingSystem, "batch"),
        "features__": (SharedFeatureExtractor, "features"),
        "error_handler__": (BatchErrorHandler, "fallback"),
        "forecaster__": model,
    }
    if chosen["fallback.enabled"]:
        parts["forecaster__"] = FallbackForecaster, "fallback"
        parts["forecaster__estimator__"] = model
        parts["forecaster__fallback__"] = KINDS[chosen["fallback.model"]], "fallback"
    found = {}
    while parts:
        prefix = next(iter(parts))
        owner, section = parts.pop(prefix)
        for key in inspect.signature(owner).parameters:
            name, path = f"{prefix}{key}", f"{section}.{key}"
            found[name] = owner, _MOVED.get(name, _MOVED.get(path, path))
            if key == "target":
                parts[f"{name}__"] = ReturnTarget, path
    return found


def idle_settings(values: Mapping[str, Any]) -> dict[str, str]:
    """Map settings without effect to the choice that makes them so."""
    used = {path for _, path in parameter_owners(values).values()} | {*CHOICES}
    fallback = CHOICES["fallback.enabled"].chosen(values)
    choices = dict.fromkeys(SECTIONS, "model.kind")
    choices["batch"] = "batch.enabled"
    choices["fallback"] = "fallback.model" if fallback else "fallback.enabled"
    if not fallback:
        used.remove("fallback.model")
    if not CHOICES["batch.enabled"].chosen(values):
        used = {p for p in used if p == "batch.enabled" or not p.startswith("batch.")}
    return {p: choices[p.partition(".")[0]] for p in SETTINGS if p not in used}


def make_setting(owner: type, name: str, path: str) -> Setting | None:
    """Create a setting of a parameter, unless no file can hold what it may be."""
    own = getattr(owner, "_parameter_constraints", {}).get(name, [])
    more = _MORE.get(path, [])
    default = inspect.signature(owner).parameters[name].default
    entry = rf"^{name} : .*\n((?:(?: .*)?(?:\n|\Z))*)"
    text = re.search(entry, inspect.getdoc(owner) or "", re.MULTILINE)
    optional = default is None or None in own or "random_state" in own
    found = map(_rule, [each for each in own if not (more and each is str)] + more)
    rules = dict(filter(None, found))
    words = " ".join(text[1].split()) if text else ""
    null = _NULLS.get(path, "none") if optional else ""
    return Setting(path, default, words, rules, null) if rules else None


def _all_settings() -> dict[str, Setting]:
    """Create all settings, section by section."""
    found = dict(CHOICES)
    for kind in KINDS:
        # Between them, the fallbacks are all kinds of simpler models, too.
        choices = {"model.kind": kind, "fallback.model": kind}
        for name, (owner, path) in parameter_owners(choices).items():
            setting = make_setting(owner, name.rpartition("__")[2], path)
            # The horizon of the forecasters is the system's.
            if setting and path not in found and not path.endswith(".horizon"):
                found[path] = setting
    order = ["", *SECTIONS]
    return {p: found[p] for s in order for p in found if p.rpartition(".")[0] == s}


SETTINGS = _all_settings()
