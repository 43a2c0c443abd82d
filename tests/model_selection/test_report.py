"""The report stands alone, says what the scores say, and shows pictures."""

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

VOID = {"meta", "img", "br", "link", "input"}


class Balance(HTMLParser):
    """Notes tags that are left open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "walk.html"
    assert result.to_html(path) == path
    return path.read_text(encoding="utf-8")


def test_it_is_well_formed(html):
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    assert html.startswith("<!DOCTYPE html>")
    assert '<meta name="viewport"' in html


def test_it_refers_to_nothing_outside_itself(html):
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert "<script" not in html
    assert "url(" not in html


def test_its_pictures_are_pictures(html):
    sources = re.findall(
        r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,(.*?)"', html
    )
    assert [text for text, _ in sources] == [
        "Rank IC over time",
        "Cumulative rank IC",
        "Mean return by quantile of the forecasts",
        "Rank IC by rows after the forecast",
        "Share of the tickers served by each model over time",
        "Importance of the features by family",
    ]
    for _, data in sources:
        root = ElementTree.fromstring(base64.b64decode(data))
        assert root.tag.endswith("svg")
        assert len(list(root.iter())) > 50


def test_it_holds_the_scores(html, result):
    card = result.scorecard.loc["FallbackForecaster"]
    assert f"{card['rank_ic']:+.4f}" in html
    assert f"{100 * card['r2_zero']:+.3f}\N{NO-BREAK SPACE}%" in html
    for name in result.scorecard.index:
        assert f">{name}</th>" in html
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html)


def test_reasons_that_differ_in_numbers_only_are_one(html, result):
    reasons = result.reasons["reason"]
    assert reasons.str.contains(r"\d labels, needs 20").any()
    assert "primary: fewer labels than 20" in html
    assert "labels, needs" not in html


def test_the_same_result_gives_the_same_file(html, result, tmp_path):
    again = result.to_html(tmp_path / "again.html").read_text(encoding="utf-8")
    assert again == html


def test_text_of_users_is_escaped(quiet_walk, mean_model, tmp_path):
    result = quiet_walk(mean_model, name="<b>mine</b>", refit_every=110)
    html = result.to_html(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>mine" not in html
    assert "&lt;b&gt;mine" in html


def test_models_without_importances_and_panels_without_dates(
    quiet_walk, mean_model, prices, tmp_path
):
    panel = prices.reset_index(drop=True)
    result = quiet_walk(mean_model, panel, horizon=(1, 3), refit_every=110)
    html = result.to_html(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Importance" not in html
    assert "Year by year" not in html
    assert "at a horizon of 1 row<" in html
    assert "at a horizon of 3 rows<" in html
    assert "By horizon" in html


def test_its_folder_must_exist(result, tmp_path):
    with pytest.raises(FileNotFoundError, match="must be in an existing folder"):
        result.to_html(tmp_path / "missing" / "r.html")


def test_matplotlib_is_only_imported_to_draw():
    code = (
        "import sys, skbatch.model_selection, skbatch.metrics;"
        "print('matplotlib' in sys.modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == "False"


def test_without_matplotlib_it_says_what_to_install(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'skbatch\[plot\]'"):
        result.to_html(tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_full_disk_keeps_the_report_that_was_there(result, tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    path.write_text("yesterday")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        result.to_html(path)
    assert path.read_text() == "yesterday"
    assert list(tmp_path.iterdir()) == [path]
