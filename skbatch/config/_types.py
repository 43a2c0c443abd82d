"""Types of settings: each with its constraint, and the same in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Real
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from skbatch.config._base import Rule
from skbatch.config._errors import shown
from skbatch.feature_extraction._registry import families

__all__ = [
    "Auto",
    "BatchGroups",
    "Count",
    "Device",
    "Directory",
    "Draw",
    "Engine",
    "Factor",
    "Families",
    "FeatureGroups",
    "Horizons",
    "MemoryBudget",
    "Name",
    "NonNegative",
    "Pair",
    "Positive",
    "Seed",
    "Share",
    "Strategy",
    "TailShare",
    "Whole",
    "Windows",
    "Workers",
]

_SIZE = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*[KMGT]?i?B?\s*", re.IGNORECASE)

Auto = Literal["auto"]
Engine = Literal["local", "dask"]
Strategy = Literal["pooled", "vector", "per_ticker"]

Whole = Annotated[int, Field(ge=0), Rule("an integer of at least 0")]
Count = Annotated[int, Field(ge=1), Rule("an integer of at least 1")]
Pair = Annotated[int, Field(ge=2), Rule("an integer of at least 2")]
Seed = Annotated[
    int, Field(ge=0, le=2**32 - 1), Rule("an integer from 0 to 4294967295")
]
NonNegative = Annotated[float, Field(ge=0), Rule("a number of at least 0")]
Positive = Annotated[float, Field(gt=0), Rule("a number above 0")]
Factor = Annotated[float, Field(gt=1), Rule("a number above 1")]
Share = Annotated[float, Field(ge=0, le=1), Rule("a number from 0 to 1")]
Draw = Annotated[float, Field(gt=0, le=1), Rule("a number above 0, at most 1")]
TailShare = Annotated[float, Field(ge=0, lt=1), Rule("a number from 0 to below 1")]
Name = Annotated[str, Field(min_length=1), Rule('the name of a feature, "auto"')]
Device = Annotated[
    str,
    Field(pattern=r"^(cpu|(cuda|gpu)(:[0-9]+)?)$"),
    Rule('"cpu", "cuda" or a device such as "cuda:1"'),
]
Directory = Annotated[str, Field(min_length=1), Rule("a folder")]


def _not_zero(value: int) -> int:
    """Refuse 0, which is neither a number of workers nor counted from the cores."""
    if value == 0:
        raise ValueError("0")
    return value


Workers = Annotated[
    int,
    AfterValidator(_not_zero),
    Rule("an integer other than 0 (below 0 counts from the cores)"),
]


def _different(values: Any) -> Any:
    """Refuse a value that is listed twice."""
    if len(set(values)) < len(values):
        raise ValueError("twice")
    return values


Horizons = Annotated[
    tuple[Count, ...],
    Field(min_length=1),
    AfterValidator(_different),
    Rule("a list of different ones"),
]
Windows = Annotated[
    tuple[Pair, ...],
    AfterValidator(_different),
    Rule("a list of different integers of at least 2"),
]


def _known_families(values: Any) -> Any:
    """Refuse names that the catalogue does not have."""
    if not set(values) <= set(families()):
        raise ValueError("unknown")
    return values


def _one_or_more(value: Any) -> Any:
    """Take a name for a list of it, as the extractor does."""
    return (value,) if isinstance(value, str) else value


Families = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(_one_or_more),
    AfterValidator(_known_families),
    Rule(f"a list of {', '.join(families())}"),
]


def _is_size(text: str) -> str:
    """Refuse what is no number of bytes with a unit."""
    match = _SIZE.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ValueError("size")
    return text


MemoryBudget = (
    Annotated[int, Field(ge=1), Rule("a number of bytes")]
    | Annotated[
        float, Field(gt=0, le=1), Rule("a share of the available memory up to 1.0")
    ]
    | Annotated[
        str,
        AfterValidator(_is_size),
        Rule('a size such as "4GiB" or "500MB"'),
    ]
)


def _check_entries(groups: Any) -> Any:
    """Check a table of groups, and name the first entry that is wrong."""
    if not isinstance(groups, Mapping):
        return groups
    for ticker, group in groups.items():
        if not isinstance(ticker, str):
            raise _entry(str(ticker), "have text as its ticker", ticker)
        is_value = isinstance(group, str | int | float) and not isinstance(group, bool)
        if not is_value or group in (float("inf"), -float("inf")):
            raise _entry(ticker, "be a group: text or a finite number", group)
    return groups


def _check_uniform(groups: Any) -> Any:
    """Refuse a table that mixes labels and numbers, which mean different things."""
    if isinstance(_check_entries(groups), Mapping):
        first = next(iter(groups.values()), None)
        kind, name = (str, "label") if isinstance(first, str) else (Real, "number")
        for ticker, group in groups.items():
            if not isinstance(group, kind):
                raise _entry(ticker, f"be a {name} like the others", group)
    return groups


def _entry(ticker: str, rule: str, group: Any) -> PydanticCustomError:
    """Make the error of one entry."""
    advice = 'Write such as AAPL = "tech".'
    context = {"entry": ticker, "rule": rule, "got": shown(group), "advice": advice}
    return PydanticCustomError("entry", "{rule}", context)


_TABLE = Annotated[dict[str, str | int | float], Field(min_length=1)]
FeatureGroups = Annotated[
    _TABLE, BeforeValidator(_check_entries), Rule("a table of ticker = group")
]
BatchGroups = Annotated[
    _TABLE,
    BeforeValidator(_check_uniform),
    Rule("a table of ticker = label or of ticker = number"),
]
