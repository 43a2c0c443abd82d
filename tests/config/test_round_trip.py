import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.config import BatchForecastingConfig, ConfigError
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
COUNT, SEED = st.integers(1, 10**6), st.integers(0, 2**32 - 1) | st.none()
POSITIVE = st.floats(0, 1e9, exclude_min=True)
SHARE = st.floats(0, 1)
DRAW = st.floats(0, 1, exclude_min=True)
AUTO = st.just("auto")
WORKERS = st.integers(-4, 64).filter(bool) | st.none()
FINITE = st.floats(allow_nan=False, allow_infinity=False)
LABELS = st.dictionaries(TEXT, TEXT, min_size=1, max_size=3)
NUMBERS = st.dictionaries(TEXT, FINITE | st.integers(), min_size=1, max_size=3)
MIXED = st.dictionaries(TEXT, TEXT | FINITE | st.integers(), min_size=1, max_size=3)
FAMILIES = ["returns", "volatility", "trend", "rank", "calendar"]

TARGET = {
    "relative": st.booleans(),
    "scale": AUTO | st.none() | TEXT.filter(lambda text: text != "none"),
    "market_weight": SHARE | AUTO,
    "thin": COUNT | AUTO,
    "half_life": POSITIVE | st.none(),
    "weight": TEXT.filter(lambda text: text != "none") | st.none(),
    "validation_size": st.integers(0, 9)
    | st.floats(0, 1, exclude_max=True, allow_subnormal=False)
    | AUTO,
}
SHARED = {
    "strategy": st.sampled_from(["pooled", "vector", "per_ticker"]),
    "market_features": st.booleans(),
    "target": st.fixed_dictionaries({}, optional=TARGET),
}
LINEAR = {**SHARED, "alpha": POSITIVE | AUTO}
XGBOOST = {
    **SHARED,
    "n_estimators": COUNT,
    "learning_rate": POSITIVE,
    "max_depth": COUNT,
    "xgb_params": st.none()
    | st.fixed_dictionaries(
        {"gamma": SHARE},
        optional={
            "objective": st.just("reg:pseudohubererror"),
            "monotone_constraints": st.just({"momentum_252": 1}),
            "interaction_constraints": st.just((("a", "b"), ("c",))),
        },
    ),
    "subsample": DRAW,
    "colsample_bytree": DRAW,
    "reg_lambda": st.floats(0, 1e9),
    "max_bin": st.integers(2, 1024),
    "early_stopping_rounds": COUNT | st.none(),
    "random_state": SEED,
}
PROCESSORS = {
    "threads": WORKERS,
    "device": st.sampled_from(["cpu", "cuda", "cuda:1"]),
}
SCREENING = {
    "recent": COUNT,
    "min_history": st.integers(2, 99),
    "max_stale": st.integers(0, 99),
    "max_flat": st.integers(2, 99),
    "max_jump": st.floats(1, 1e9, exclude_min=True),
    "max_invalid_share": SHARE,
    "max_attempts": COUNT,
}
BATCH = {
    "max_batch_size": COUNT | st.none(),
    "memory_budget": st.integers(1, 2**40)
    | DRAW
    | st.sampled_from(["4GiB", "500 MB"])
    | st.none(),
    "groups": LABELS | NUMBERS | st.just("correlation") | st.none(),
    "checkpoint_dir": st.none() | TEXT.filter(lambda text: text != "none"),
    "random_state": SEED,
}
FEATURES = {
    "families": st.none()
    | st.lists(st.sampled_from(FAMILIES), min_size=1, unique=True),
    "windows": st.lists(st.integers(2, 300), min_size=1, unique=True, max_size=4),
    "groups": MIXED | st.none(),
    "lookback": st.integers(0, 999) | st.none(),
    "cache_size": st.integers(0, 2**40),
}
HORIZON = COUNT | st.lists(COUNT, min_size=1, max_size=3, unique=True)


def some(values):
    """Draw a dict with any of the keys."""
    return st.fixed_dictionaries({}, optional=values)


@st.composite
def configs(draw):
    kind = draw(st.sampled_from(["xgboost", "linear", "mean"]))
    parameters = {"xgboost": XGBOOST, "linear": LINEAR, "mean": {"min_labels": COUNT}}
    processors = PROCESSORS if kind == "xgboost" else {}
    model = {"kind": kind, **draw(some(parameters[kind]))}
    fallback = draw(some(SCREENING))
    fallback["enabled"] = draw(st.booleans())
    if fallback["enabled"]:
        fallback["model"] = draw(st.sampled_from(["linear", "mean"]))
        own = LINEAR if fallback["model"] == "linear" else {"mean_min_labels": COUNT}
        fallback |= draw(some({"min_labels": COUNT, **own}))
    return BatchForecastingConfig(
        **draw(some({"horizon": HORIZON})),
        batch=draw(some(BATCH)),
        features=draw(some(FEATURES)),
        model=model,
        fallback=fallback,
        performance=draw(some({"n_jobs": WORKERS, **processors})),
    )


def typed(value):
    """Spell out types: 1 byte and all of the memory are equal numbers."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    return type(value), value


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("config") / "skbatch.toml"


@settings(max_examples=60)
@given(config=configs())
def test_a_file_holds_all_of_a_configuration(config, file):
    file.write_text(config.to_toml(), encoding="utf-8", newline="")
    read = BatchForecastingConfig.from_file(file, env=False)
    assert read == config
    assert typed(read.to_dict()) == typed(config.to_dict())
    assert read.to_toml() == config.to_toml()


@settings(max_examples=60)
@given(config=configs())
def test_a_system_holds_all_of_a_configuration(config):
    system = config.to_system()
    read = BatchForecastingConfig.from_system(system)
    assert read == config
    assert typed(read.to_dict()) == typed(config.to_dict())
    # And back: the same parameters, down to those of the estimators inside.
    again = parameters(read.to_system())
    assert again == parameters(system)


def parameters(system):
    """All parameters, and the classes of what is not a plain value."""
    return {
        name: type(value) if hasattr(value, "get_params") else typed(value)
        for name, value in system.get_params(deep=True).items()
    }


def test_what_is_read_from_a_system_is_short():
    system = BatchForecastingSystem(
        features=SharedFeatureExtractor(windows=[5, 21]),
        forecaster=FallbackForecaster(
            BatchXGBoostForecaster(n_estimators=300, max_depth=4)
        ),
        error_handler=BatchErrorHandler(),
    )
    config = BatchForecastingConfig.from_system(system)
    assert config.to_toml() == (
        "[features]\nwindows = [\n    5,\n    21,\n]\n\n[model]\nn_estimators = 300\n"
    )
    assert BatchForecastingConfig.from_system(BatchForecastingSystem()).to_toml() == ""


def test_tables_of_pandas_and_numbers_of_numpy_are_read():
    caps = pd.Series({"A": np.float32(2.5), "B": np.nan})
    system = BatchForecastingSystem(
        horizon=np.array([1, 5]),
        groups=caps,
        max_batch_size=np.int64(3),
        forecaster=BatchLinearForecaster(target=ReturnTarget(thin=np.int64(2))),
    )
    config = BatchForecastingConfig.from_system(system)
    assert config.to_toml() == (
        "horizon = [\n    1,\n    5,\n]\n\n"
        "[batch]\nmax_batch_size = 3\n\n[batch.groups]\nA = 2.5\n\n"
        '[model]\nkind = "linear"\n\n[model.target]\nthin = 2\n\n'
        "[fallback]\nenabled = false\n"
    )


class Foreign(BatchLinearForecaster):
    """An estimator of the user's own."""


FRAME = pd.DataFrame({"vix": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"features": SharedFeatureExtractor(functions={"f": abs})}, "functions"),
        ({"features": SharedFeatureExtractor(market_data=FRAME)}, "market_data"),
        ({"features": HistoricalMeanForecaster()}, "features"),
        ({"error_handler": HistoricalMeanForecaster()}, "error_handler"),
        ({"forecaster": Foreign()}, "forecaster"),
        (
            {"forecaster": BatchLinearForecaster(target=ReturnTarget(benchmark=FRAME))},
            "target__benchmark",
        ),
        ({"forecaster": BatchLinearForecaster(horizon=5)}, "forecaster__horizon"),
        (
            {"forecaster": BatchLinearForecaster(target=ReturnTarget(scale="none"))},
            "model.target.scale",
        ),
        ({"forecaster": FallbackForecaster(Foreign())}, "forecaster__estimator"),
        (
            {
                "forecaster": FallbackForecaster(
                    BatchLinearForecaster(), BatchXGBoostForecaster()
                )
            },
            "forecaster__fallback",
        ),
        (
            {"forecaster": BatchXGBoostForecaster(random_state=np.random)},
            "random_state",
        ),
        ({"forecaster": BatchXGBoostForecaster(max_depth=None)}, "max_depth"),
        ({"random_state": np.random.RandomState(0)}, "random_state"),
        ({"checkpoint_dir": "none"}, "checkpoint_dir"),
        ({"groups": {"A": abs}}, "groups"),
        ({"features": SharedFeatureExtractor(groups=FRAME)}, "features.groups"),
        ({"features": SharedFeatureExtractor(universe=abs)}, "features.universe"),
        ({"horizon": 0}, "horizon"),
    ],
)
def test_what_a_file_cannot_express_is_named(parameters, name):
    with pytest.raises(ConfigError) as caught:
        BatchForecastingConfig.from_system(BatchForecastingSystem(**parameters))
    first = str(caught.value).partition("must")[0]
    assert name in first
    assert "\n" not in str(caught.value)


def test_all_that_a_file_cannot_express_is_listed():
    system = BatchForecastingSystem(
        features=SharedFeatureExtractor(market_data=FRAME), forecaster=Foreign()
    )
    with pytest.raises(ConfigError) as caught:
        BatchForecastingConfig.from_system(system)
    lines = str(caught.value).splitlines()
    assert lines[0] == "The configuration has 2 problems:"
    assert lines[1].startswith("- `features__market_data` must be left at its default.")
    assert lines[2].startswith(
        "- `forecaster` must be left at its default. Got Foreign"
    )


def test_only_systems_are_read():
    with pytest.raises(TypeError, match="`system` must be a BatchForecastingSystem"):
        BatchForecastingConfig.from_system(BatchLinearForecaster())


def test_a_system_reads_its_settings_from_a_file(file):
    file.write_text('horizon = 3\n[model]\nkind = "linear"\n')
    system = BatchForecastingConfig.from_file(file).to_system()
    assert system.horizon == 3
    assert type(system.forecaster.estimator) is BatchLinearForecaster
