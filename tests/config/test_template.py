import re

from skbatch.config import BatchForecastingConfig
from skbatch.config.engine import SETTINGS, settings_template

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


def test_the_template_has_every_setting_in_its_section():
    paths = [path for path, _ in commented_settings(settings_template())]
    assert paths == list(SETTINGS)


def test_the_template_changes_nothing(tmp_path):
    file = tmp_path / "skbatch.toml"
    file.write_text(settings_template(), encoding="utf-8")
    config = BatchForecastingConfig.from_file(file, env=False)
    assert config == BatchForecastingConfig()


def test_every_line_can_be_uncommented_and_shows_what_is_in_effect(tmp_path):
    file = tmp_path / "skbatch.toml"
    for path, value in commented_settings(settings_template()):
        section, _, key = path.rpartition(".")
        table = NEEDS.get(path, f"[{section}]\n" if section else "")
        text = f"{table}{key} = {value}\n"
        file.write_text(text, encoding="utf-8")
        read = BatchForecastingConfig.from_file(file, env=False).to_dict()
        plain = BatchForecastingConfig().to_dict()
        for key in path.split("."):
            read, plain = read[key], plain[key]
        assert read == plain, path


def test_every_setting_is_described():
    text = settings_template()
    prose = " ".join(re.findall(r"^# (.*)$", text, re.MULTILINE))
    for path, field in SETTINGS.items():
        words = re.sub(r"[^ ]*[`:][^ ]*", "", field.description).split()
        assert set(words) <= set(prose.split()), path


def test_lines_are_no_longer_than_those_of_the_code():
    assert max(map(len, settings_template().splitlines())) <= 88


def test_settings_say_for_which_models_they_are():
    text = settings_template()
    assert 'For model.kind = "xgboost".\n#max_depth = 4' in text
    assert (
        '# "rank" or "scaled". For model.kind = "xgboost" or "linear".\n#label' in text
    )
    assert 'For fallback.model = "mean".\n#mean_min_labels' in text
