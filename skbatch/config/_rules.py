"""What settings may be, and how values are written in files and messages."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from skbatch._sklearn import Interval, StrOptions, make_constraint
from skbatch.feature_extraction import list_features

__all__ = ["RULES", "Rule", "constraint_rule", "one_of", "toml_key", "toml_value"]


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
class Rule:
    """What a value may be, in words and as a function."""

    text: str
    holds: Callable[[Any], bool]


def one_of(*options: Any) -> Rule:
    """Make the rule of a choice."""
    return Rule(" or ".join(map(toml_value, options)), options.__contains__)


def constraint_rule(constraint: Any) -> Rule:
    """Make the rule of a constraint of scikit-learn, for values that files can hold."""
    made = make_constraint(constraint)

    def holds(value: Any) -> bool:
        if isinstance(value, bool) != (constraint == "boolean") or value == "":
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        plain = isinstance(value, str | int | float | tuple | dict)
        return plain and bool(made.is_satisfied_by(value))

    names: dict[Any, str] = {
        "boolean": "true or false",
        "random_state": "an integer from 0 to 4294967295",
        str: "text",
    }
    if isinstance(constraint, StrOptions):
        return Rule(one_of(*sorted(constraint.options)).text, holds)
    if isinstance(constraint, Interval):
        return Rule(_interval_text(constraint), holds)
    return Rule(names[constraint], holds)


def _interval_text(interval: Interval) -> str:
    """Describe a range of numbers."""
    left = "of at least" if interval.closed in ("left", "both") else "above"
    right = "at most" if interval.closed in ("right", "both") else "below"
    bounds = [f"{left} {interval.left}"] * (interval.left is not None)
    bounds += [f"{right} {interval.right}"] * (interval.right is not None)
    kind = "an integer" if interval.type is Integral else "a number"
    return f"{kind} {' and '.join(bounds)}"


def _is_number(value: Any) -> bool:
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _is_integer(value: Any, least: float = -math.inf) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= least


def _distinct(value: Any, least: int) -> bool:
    """Whether a value is a list of different integers."""
    integers = isinstance(value, tuple) and all(_is_integer(v, least) for v in value)
    return integers and len(set(value)) == len(value)


def _table(value: Any) -> bool:
    """Whether a value is a table of ticker = label or number."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) for key in value)
        and all(isinstance(v, str) or _is_number(v) for v in value.values())
    )


def _names(value: Any) -> bool:
    """Whether a value is a list of different names."""
    return (
        isinstance(value, tuple)
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )


def _matching(text: str, pattern: str) -> Rule:
    whole = re.compile(pattern, re.IGNORECASE | re.ASCII).fullmatch
    return Rule(text, lambda v: isinstance(v, str) and whole(v) is not None)


_FAMILIES = sorted({"default", *list_features()["family"]})
_COUNT = constraint_rule(Interval(Integral, 0, None, closed="left"))
_WORKERS = Rule(
    "an integer other than 0 (below 0 counts from the cores)",
    lambda v: _is_integer(v) and v != 0,
)
# Where the constraints of a parameter do not say all, as its class checks the rest.
RULES: dict[str, list[Rule]] = {
    "horizon": [
        constraint_rule(Interval(Integral, 1, None, closed="left")),
        Rule("a list of different ones", lambda v: v != () and _distinct(v, 1)),
    ],
    "coverage": [
        constraint_rule(_SHARE := Interval(Real, 0, 1, closed="neither")),
        Rule(
            "a list of different ones",
            lambda v: (
                isinstance(v, tuple)
                and v != ()
                and len(set(v)) == len(v)
                and all(constraint_rule(_SHARE).holds(share) for share in v)
            ),
        ),
    ],
    "batch.memory_budget": [
        Rule("a number of bytes", lambda v: _is_integer(v, 1)),
        Rule(
            "a share of the available memory up to 1.0",
            lambda v: isinstance(v, float) and 0 < v <= 1,
        ),
        _matching(
            'a size such as "4GiB" or "500MB"',
            r"\s*(?=.*[1-9])(\d+\.?\d*|\.\d+)\s*[KMGT]?i?B?\s*",
        ),
    ],
    "batch.groups": [
        Rule(
            "a table of ticker = label or of ticker = number",
            lambda v: _table(v) and len({isinstance(i, str) for i in v.values()}) == 1,
        ),
        one_of("correlation"),
    ],
    "batch.checkpoint_dir": [
        Rule("a folder", lambda v: isinstance(v, str) and v != "")
    ],
    "model.xgb_params": [
        Rule(
            "a table of XGBoost's parameters",
            lambda v: isinstance(v, dict) and all(isinstance(k, str) for k in v),
        ),
    ],
    "features.families": [
        Rule(
            f"a list of {', '.join(_FAMILIES)}",
            lambda v: isinstance(v, tuple) and v != () and set(v) <= set(_FAMILIES),
        )
    ],
    "features.windows": [
        Rule("a list of different integers of at least 2", lambda v: _distinct(v, 2))
    ],
    "features.groups": [
        Rule("a table of ticker = group", _table),
        Rule("a list of signals", _names),
        Rule(
            "a table of name = table of ticker = group",
            lambda v: isinstance(v, dict) and v != {} and all(map(_table, v.values())),
        ),
    ],
    "features.signals": [
        Rule("a list of signals", _names),
        Rule(
            "a table of signal = list of features",
            lambda v: isinstance(v, dict) and all(map(_names, v.values())),
        ),
    ],
    "features.cross_section": [
        _matching(
            "rank, zscore, or a grouping with _ and one of these", r".*(rank|zscore)"
        )
    ],
    "features.lookback": [_COUNT],
    "features.cache_size": [_COUNT],
    "performance.n_jobs": [_WORKERS],
    "performance.threads": [_WORKERS],
    "performance.device": [
        _matching(
            '"cpu", "cuda" or a device such as "cuda:1"', r"cpu|(cuda|gpu)(:[0-9]+)?"
        )
    ],
}
