"""The sections of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from skbatch.config._base import Section, setting
from skbatch.config._errors import shown
from skbatch.config._parts import DEFAULT_FALLBACK, DEFAULT_KIND, KINDS, Path
from skbatch.config._types import (
    Auto,
    BatchGroups,
    Count,
    Device,
    Directory,
    Draw,
    Engine,
    Factor,
    Families,
    FeatureGroups,
    MemoryBudget,
    Name,
    NonNegative,
    Pair,
    Positive,
    Seed,
    Share,
    Strategy,
    TailShare,
    Whole,
    Windows,
    Workers,
)
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import FallbackForecaster

__all__ = [
    "BatchConfig",
    "FallbackConfig",
    "FeatureConfig",
    "Idle",
    "ModelConfig",
    "PerformanceConfig",
]

_SYSTEM, _HANDLER = "BatchForecastingSystem", "BatchErrorHandler"
_XGBOOST, _LINEAR, _MEAN = KINDS["xgboost"], KINDS["linear"], KINDS["mean"]


class BatchConfig(Section):
    """How the tickers are divided into batches, and where finished ones are kept."""

    _path: ClassVar[Path] = ("batch",)
    _choices: ClassVar[tuple[str, ...]] = ("enabled",)

    enabled: bool = Field(
        True,
        description="Forecast all tickers together. If not, robust_forecast_returns "
        "takes one ticker at a time, and a system cannot be made.",
    )
    max_batch_size: Count | None = setting(
        _SYSTEM,
        "max_batch_size",
        "Largest number of tickers in a batch. By default all are in one, as long as "
        "the memory budget allows.",
        null="none",
    )
    memory_budget: MemoryBudget | None = setting(
        _SYSTEM,
        "memory_budget",
        "Largest memory of the process, with workers of all together: bytes, a size, "
        "or a share of what is available. Batches become as small as it takes.",
        null="none",
    )
    groups: BatchGroups | Literal["correlation"] | None = setting(
        _SYSTEM,
        "groups",
        "Which tickers share a batch, if there are several: a table of ticker = sector "
        "or of ticker = market value, or those whose returns are correlated. By "
        "default neighbours in the panel.",
        null="none",
    )
    checkpoint_dir: Directory | None = setting(
        _SYSTEM,
        "checkpoint_dir",
        "Folder in which each finished batch is kept, so that a run that was stopped "
        "goes on where it was.",
        null="none",
    )
    random_state: Seed | None = setting(
        _SYSTEM,
        "random_state",
        "Seed of the random assignment of tickers that cannot be clustered.",
        null="none",
    )


class FeatureConfig(Section):
    """Which features are computed."""

    _path: ClassVar[Path] = ("features",)

    families: Families | None = setting(
        SharedFeatureExtractor,
        "families",
        "Families of features. By default all that the panel allows.",
        null="all",
    )
    windows: Windows = setting(
        SharedFeatureExtractor,
        "windows",
        "Windows in rows. Each feature takes those that make sense for it.",
    )
    groups: FeatureGroups | None = setting(
        SharedFeatureExtractor,
        "groups",
        "Table of ticker = group, such as the sector, for features relative to the "
        "group's other tickers.",
        null="none",
    )
    lookback: Whole | None = setting(
        SharedFeatureExtractor,
        "lookback",
        "How many rows before its own a feature may read. By default what the features "
        "need.",
        null="auto",
    )
    cache_size: Whole = setting(
        SharedFeatureExtractor,
        "cache_size",
        "Limit in bytes of the cache of feature frames. 0 disables it.",
    )


# What boosted trees and ridge regression have in common, and a fallback has, too.
_SHARED = {
    name: setting(_LINEAR, name, description, null)
    for name, description, null in (
        (
            "strategy",
            "One model of all tickers' rows (pooled), one with an output for each "
            "ticker (vector), or one model each (per_ticker).",
            "",
        ),
        (
            "alpha",
            "Ridge regression's penalty on squared coefficients. By default the best "
            "of 13 on the validation tail.",
            "",
        ),
        (
            "relative",
            "Learn returns relative to the mean over the tickers of the date.",
            "",
        ),
        (
            "scale",
            "Feature of each ticker, its volatility, by which its labels are scaled.",
            "none",
        ),
        (
            "market_weight",
            "Weight of the historical mean return in every forecast. By default what "
            "its t-statistic supports.",
            "",
        ),
        (
            "market_features",
            "Take features that all tickers share as inputs, too.",
            "",
        ),
        (
            "thin",
            "Train on every so many dates, because labels of neighbouring dates "
            "overlap. By default half the horizon.",
            "",
        ),
        (
            "validation_size",
            "Latest training rows, as a number or a share, on which the shrinkage of "
            "forecasts is found. 0 disables it. By default a fifth, at most 504.",
            "",
        ),
    )
}


class ModelConfig(Section):
    """Which model forecasts the returns, and its parameters."""

    _path: ClassVar[Path] = ("model",)
    _choices: ClassVar[tuple[str, ...]] = ("kind",)

    kind: Literal["xgboost", "linear", "mean"] = Field(
        DEFAULT_KIND,
        description="Boosted trees, ridge regression, or the historical mean.",
    )
    strategy: Strategy = _SHARED["strategy"]
    n_estimators: Count = setting(_XGBOOST, "n_estimators", "Largest number of trees.")
    learning_rate: Positive = setting(_XGBOOST, "learning_rate", "Weight of each tree.")
    max_depth: Count = setting(_XGBOOST, "max_depth", "Depth of the trees.")
    min_child_weight: NonNegative | Auto = setting(
        _XGBOOST,
        "min_child_weight",
        "Fewest training rows in a leaf. By default a thousandth of the rows, between "
        "1 and 100.",
    )
    subsample: Draw = setting(
        _XGBOOST, "subsample", "Share of rows drawn for each tree."
    )
    colsample_bytree: Draw = setting(
        _XGBOOST, "colsample_bytree", "Share of inputs drawn for each tree."
    )
    reg_lambda: NonNegative = setting(
        _XGBOOST, "reg_lambda", "Penalty on the squared leaf values."
    )
    max_bin: Pair = setting(_XGBOOST, "max_bin", "Histogram bins of each input.")
    early_stopping_rounds: Count | None = setting(
        _XGBOOST,
        "early_stopping_rounds",
        "Stop when the validation tail has not gained for so many trees. By default "
        "all trees are trained.",
        null="none",
    )
    alpha: Positive | Auto = _SHARED["alpha"]
    relative: bool = _SHARED["relative"]
    scale: Name | None = _SHARED["scale"]
    market_weight: Share | Auto = _SHARED["market_weight"]
    market_features: bool = _SHARED["market_features"]
    thin: Count | Auto = _SHARED["thin"]
    validation_size: Whole | TailShare | Auto = _SHARED["validation_size"]
    min_labels: Count = setting(
        _MEAN,
        "min_labels",
        "Fewest known labels of a ticker for its historical mean.",
    )
    random_state: Seed | None = setting(
        _XGBOOST,
        "random_state",
        "Seed of the row and column draws. Without one each fit draws anew.",
        null="none",
    )


class FallbackConfig(Section):
    """What serves tickers that the model cannot, and which are not to be trusted."""

    _path: ClassVar[Path] = ("fallback",)
    _choices: ClassVar[tuple[str, ...]] = ("enabled", "model")

    enabled: bool = Field(
        True,
        description="Serve tickers that the model cannot by a simpler one, then by "
        "their historical mean.",
    )
    model: Literal["linear", "mean"] = Field(
        DEFAULT_FALLBACK,
        description="The simpler model: ridge regression or the historical mean.",
    )
    min_labels: Count = setting(
        FallbackForecaster,
        "min_labels",
        "Fewest known labels of a ticker that the model may serve. A third of it is "
        "needed for its historical mean.",
    )
    strategy: Strategy = _SHARED["strategy"]
    alpha: Positive | Auto = _SHARED["alpha"]
    relative: bool = _SHARED["relative"]
    scale: Name | None = _SHARED["scale"]
    market_weight: Share | Auto = _SHARED["market_weight"]
    market_features: bool = _SHARED["market_features"]
    thin: Count | Auto = _SHARED["thin"]
    validation_size: Whole | TailShare | Auto = _SHARED["validation_size"]
    mean_min_labels: Count = setting(
        _MEAN,
        "min_labels",
        "Fewest known labels of a ticker for its historical mean as the simpler model.",
    )
    recent: Count = setting(
        _HANDLER,
        "recent",
        "Latest rows in which a wrong price or a jump puts a ticker in quarantine. "
        "Older ones are noted.",
    )
    min_history: Pair = setting(
        _HANDLER,
        "min_history",
        "Fewest prices of a ticker. With fewer it is put in quarantine.",
    )
    max_stale: Whole = setting(
        _HANDLER,
        "max_stale",
        "How many last rows of a ticker may have no price.",
    )
    max_flat: Pair = setting(
        _HANDLER,
        "max_flat",
        "A ticker whose last so many closes are all equal is put in quarantine.",
    )
    max_jump: Factor = setting(
        _HANDLER,
        "max_jump",
        "Largest factor between one close and the next that is believed.",
    )
    max_invalid_share: Share = setting(
        _HANDLER,
        "max_invalid_share",
        "Largest share of a ticker's prices that may be infinite or not positive.",
    )
    max_attempts: Count = setting(
        _HANDLER,
        "max_attempts",
        "How many fits may be spent on finding the tickers because of which a batch "
        "fails.",
    )


@dataclass(frozen=True)
class Idle:
    """A setting of the processors that has no effect, and why."""

    value: Any
    reason: str


class PerformanceConfig(Section):
    """Which processors do the work."""

    _path: ClassVar[Path] = ("performance",)

    n_jobs: Workers | None = setting(
        _SYSTEM,
        "n_jobs",
        "Batches that run at the same time, -1 for one on each core. By default as "
        "joblib is configured, else one after the other.",
        null="none",
    )
    threads: Workers | None = setting(
        _XGBOOST,
        "n_jobs",
        "Threads of XGBoost. By default one for each core, or one in each of several "
        "workers.",
        null="auto",
    )
    engine: Engine = setting(
        _SYSTEM,
        "engine",
        "Who does the work: this machine, or the Dask cluster whose client is active.",
    )
    device: Device = setting(_XGBOOST, "device", "Where XGBoost trains and predicts.")

    @field_validator("threads", "device", mode="before")
    @classmethod
    def _is_used(cls, value: Any) -> Any:
        """Refuse a setting that the kind of model, of another section, does not use."""
        if isinstance(value, Idle):
            context = {"reason": value.reason, "got": shown(value.value)}
            raise PydanticCustomError("inapplicable", "{reason}", context)
        return value
