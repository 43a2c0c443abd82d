import pytest

from skbatch.batch import BatchForecastingSystem
from skbatch.config import BatchForecastingConfig, ConfigError
from skbatch.forecasting import BatchXGBoostForecaster

PRESETS = BatchForecastingConfig.presets
NAMES = [None, *PRESETS]


def test_the_presets_are_those_that_the_system_knows():
    (options, _) = BatchForecastingSystem._parameter_constraints["preset"]
    assert set(PRESETS) == options.options


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_settings(name):
    given = {"preset": name, **PRESETS[name]}
    config = BatchForecastingConfig(**given)
    assert config == BatchForecastingConfig(preset=name)
    assert config != BatchForecastingConfig(preset=None)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_alone_leaves_the_parts_to_the_system(name):
    params = BatchForecastingConfig(preset=name).to_params()
    assert params["preset"] == name
    assert params["features"] is params["forecaster"] is params["error_handler"] is None


@pytest.mark.parametrize("name", PRESETS)
def test_the_users_settings_win_over_the_presets(name):
    values = PRESETS[name]["model"]
    key = next(iter(values))
    config = BatchForecastingConfig(preset=name, model={key: 7})
    assert getattr(config.model, key) == 7
    for other in set(values) - {key}:
        assert getattr(config.model, other) == values[other]
    assert config.to_toml() == f'preset = "{name}"\n\n[model]\n{key} = 7\n'
    # The default is a choice, too, when the user makes it.
    default = getattr(BatchForecastingConfig().model, key)
    config = BatchForecastingConfig(preset=name, model={key: default})
    assert getattr(config.model, key) == default
    assert getattr(config.to_params()["forecaster"].estimator, key) == default


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_and_its_values_make_the_same_forecaster(name):
    system = BatchForecastingSystem(preset=name)
    other = BatchForecastingConfig(**PRESETS[name]).to_system()
    expected, got = (s.get_params(deep=True) for s in (system, other))
    estimators = [key for key in expected if key.startswith("forecaster__estimator__")]
    assert {key: got[key] for key in estimators if not key.endswith("target")} == {
        key: expected[key] for key in estimators if not key.endswith("target")
    }
    assert type(other.forecaster.estimator) is BatchXGBoostForecaster


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_values_are_not_the_users(name):
    config = BatchForecastingConfig(preset=name)
    assert config.to_toml() == f'preset = "{name}"\n'


def test_a_setting_that_is_not_given_has_the_presets_value():
    config = BatchForecastingConfig(preset="speed", model={"n_estimators": None})
    assert config.model.n_estimators == PRESETS["speed"]["model"]["n_estimators"]


def test_presets_have_no_effect_on_other_kinds_of_models():
    config = BatchForecastingConfig(preset="speed", model={"kind": "linear"})
    assert config.model == BatchForecastingConfig(model={"kind": "linear"}).model


def test_unknown_presets_are_refused():
    with pytest.raises(ConfigError, match=r"`preset` must be .*\"speed\""):
        BatchForecastingConfig(preset="fast")


def test_a_preset_that_is_passed_wins_over_that_of_a_file(tmp_path):
    path = tmp_path / "skbatch.toml"
    path.write_text('preset = "accuracy"\n[model]\nlearning_rate = 0.1\n')
    config = BatchForecastingConfig.from_file(path, preset="speed", env=False)
    params = config.to_system().get_params(deep=True)
    fast = BatchForecastingSystem(preset="speed").get_params(deep=True)
    for name in ("n_estimators", "max_bin"):
        key = f"forecaster__estimator__{name}"
        assert params[key] == fast[key]
    assert params["forecaster__estimator__learning_rate"] == 0.1
