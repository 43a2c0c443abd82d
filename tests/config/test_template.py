import re

import pytest

from skbatch.config import BatchForecastingConfig, ConfigError
from skbatch.config.engine import SETTINGS, settings_template

PRESETS = BatchForecastingConfig.presets
NAMES = [None, *PRESETS]
# What a setting needs to have an effect.
NEEDS = {
    "model.alpha": '[model]\nkind = "linear"\n',
    "model.min_labels": '[model]\nkind = "mean"\n',
    "fallback.mean_min_labels": '[fallback]\nmodel = "mean"\n',
}


def commented_settings(text):
    """List the settings behind a #, with what they would be set to."""
    section = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\[([\w.]+)\]", line):
            section = f"{match[1]}."
        elif match := re.fullmatch(r"#?(\w+) = (.+)", line):
            yield f"{section}{match[1]}", match[2]


@pytest.mark.parametrize("preset", NAMES)
def test_the_template_has_every_setting_in_its_section(preset):
    paths = [path for path, _ in commented_settings(settings_template(preset))]
    assert paths == list(SETTINGS)


@pytest.mark.parametrize("preset", NAMES)
def test_the_template_changes_nothing_but_the_preset(preset, tmp_path):
    file = tmp_path / "skbatch.toml"
    file.write_text(settings_template(preset), encoding="utf-8")
    config = BatchForecastingConfig.from_file(file, env=False)
    assert config == BatchForecastingConfig(preset=preset)


@pytest.mark.parametrize("preset", NAMES)
def test_every_line_can_be_uncommented_and_shows_what_is_in_effect(preset, tmp_path):
    file = tmp_path / "skbatch.toml"
    for path, value in commented_settings(settings_template(preset)):
        head = f'preset = "{preset}"\n' if preset else ""
        section, _, key = path.rpartition(".")
        table = NEEDS.get(path, f"[{section}]\n" if section else "")
        text = f"{head}{table}{key} = {value}\n"
        if path == "preset":
            text = f"{key} = {value}\n"
        file.write_text(text, encoding="utf-8")
        read = BatchForecastingConfig.from_file(file, env=False).to_dict()
        plain = BatchForecastingConfig(preset=preset).to_dict()
        for key in path.split("."):
            read, plain = read[key], plain[key]
        assert read == plain, path


@pytest.mark.parametrize("preset", NAMES)
def test_every_setting_is_described(preset):
    text = settings_template(preset)
    prose = " ".join(re.findall(r"^# (.*)$", text, re.MULTILINE))
    for path, field in SETTINGS.items():
        words = re.sub(r"[^ ]*[`:][^ ]*", "", field.description).split()
        assert set(words) <= set(prose.split()), path


def test_lines_are_no_longer_than_those_of_the_code():
    assert max(map(len, settings_template("speed").splitlines())) <= 88


def test_presets_show_the_default_that_they_replace():
    text = settings_template("speed")
    trees = PRESETS["speed"]["model"]["n_estimators"]
    default = BatchForecastingConfig().model.n_estimators
    assert f"Without a preset {default}.\n#n_estimators = {trees}\n" in text
    assert '\npreset = "speed"\n' in text


def test_settings_say_for_which_models_they_are():
    text = settings_template()
    assert 'For model.kind = "xgboost".\n#max_depth = 4' in text
    assert 'For model.kind = "xgboost" or "linear".\n#relative = true' in text
    assert 'For fallback.model = "mean".\n#mean_min_labels' in text


def test_unknown_presets_are_refused():
    with pytest.raises(
        ConfigError, match=r"`preset` must be \"accuracy\" or \"speed\""
    ):
        settings_template("fast")
