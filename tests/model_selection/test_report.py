"""The report stands alone, says what the scores say, and shows pictures."""

import base64
import re
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib.metadata import version
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from skbatch.metrics import deflated_sharpe_ratio
from skbatch.model_selection import TradingCosts, _report, _report_portfolio
from skbatch.model_selection._verdict import number

FAN = r"Forecast of \w+ from [\d-]+, and what came of it"
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
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    links = re.findall('href="#(.*?)"', html)
    assert links == re.findall('<h2 id="(.*?)"', html)
    assert len(set(links)) == len(links) > 5
    assert "<script" not in html
    assert "url(" not in html


def test_its_pictures_are_pictures(html):
    sources = re.findall(
        r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,(.*?)"', html
    )
    names = [text for text, _ in sources]
    names = [FAN if re.match(FAN, text) else text for text in names]
    assert names == [
        "Rank IC over time",
        "Cumulative rank IC",
        "Mean return by quantile of the forecasts",
        "Rank IC by rows after the forecast",
        "Rank IC by execution delay",
        "Cumulative return of the long–short portfolio",
        "Cumulative return of each quantile after costs",
        "Drawdown of the long–short portfolio",
        "Return of each month",
        "Mean return by size of the forecast",
        "Calibration of the quantiles",
        FAN,
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
    assert f"{100 * card['r2_zero']:+.3f}%" in html
    for name in result.scorecard.index:
        assert f">{name}</th>" in html
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html)


def text_of(html):
    """Take the markup and the pictures off."""
    plain = re.sub(r"<[^>]+>", " ", re.sub(r"base64,[^\"]*", "", html))
    return unescape(re.sub(r"\s+", " ", plain))


def test_it_holds_the_portfolios(html, result):
    text = text_of(html)
    measures = result.backtest(costs=10).measures
    equal = result.backtest(weights="equal", costs=10).measures
    for key, label in (
        ("sharpe_net", "Sharpe ratio after costs"),
        ("sharpe_gross", "Sharpe ratio before costs"),
        ("beta", "Beta to the mean of all tickers"),
    ):
        row = text.split(label)[1].split()[:3]
        assert row[0] == f"{measures[key]:+.2f}"
        assert row[2] == f"{equal[key]:+.2f}"
    deflated = deflated_sharpe_ratio(result.backtest(costs=10).returns["net"], 1)
    assert f"Deflated Sharpe ratio, 1 tried {deflated:.2f}" in text
    assert "traded 1 row later" in text
    assert "Capacity" not in text


def tables_of(html):
    """Read the cells of all tables, below the texts of their first row."""
    found = []
    for table in re.findall("<table>(.*?)</table>", html, re.DOTALL):
        rows = [
            [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
            for row in re.findall("<tr>(.*?)</tr>", table)
        ]
        found.append(pd.DataFrame(rows[1:], columns=rows[0]).set_index(rows[0][0]))
    return found


def assert_shown(cell, value):
    """Compare a cell with a number, to the digits that the cell has."""
    shown = cell.replace("+", "")
    if not np.isfinite(value):
        assert shown == "–"
        return
    scale = 100 if shown.endswith("%") else 1
    shown = shown.removesuffix("%")
    digits = len(shown.partition(".")[2])
    assert float(shown) == pytest.approx(scale * value, abs=0.5001 * 10**-digits)


def test_the_numbers_of_its_tables_are_those_of_the_result(html, result):
    found = tables_of(html)
    cards, tests, delays, portfolios, years = found[:5]
    assert list(cards) == list(result.scorecard.index)
    for row, (key, (label, _)) in enumerate(_report.ROWS.items()):
        assert cards.index[row] == label
        for name in cards:
            assert_shown(cards[name].iloc[row], result.scorecard.loc[name, key])
    scales = {"rank IC": 1, "squared error saved, basis points²": 1e8}
    by_name = {f"{b}: {s}": row for (b, s), row in result.paired_tests().iterrows()}
    for label, cells in tests.iterrows():
        benchmark, score = label.split(": ")
        key = {"rank": "rank_ic", "squa": "squared_error", "quan": "spread"}[score[:4]]
        test, scale = by_name[f"{benchmark}: {key}"], scales.get(score, 100)
        ends = cells["95% interval"].split(" to ")
        for cell, name in zip(
            [cells["by"], *ends], ("difference", "lower", "upper"), strict=True
        ):
            assert_shown(cell, scale * test[name])
        for column, name in (("t", "t_statistic"), ("p", "p_value")):
            assert_shown(cells[column], test[name])
        assert_shown(cells["p, adjusted"], test["p_holm"])
    expected = result.by_delay()
    for name, cells in delays.iterrows():
        for delay, cell in enumerate(cells):
            for text, key in zip(
                cell.split(" ± "), ("rank_ic", "rank_ic_error"), strict=True
            ):
                assert_shown(text, expected.loc[(name, delay), key])
    for label, rule in (
        ("long–short", "long_short"),
        ("long only", "long_only"),
        ("equal weight", "equal"),
    ):
        measures = result.backtest(weights=rule, costs=10).measures
        for key, (title, _) in _report_portfolio.ROWS.items():
            if title in portfolios.index:
                assert_shown(portfolios.loc[title, label], measures[key])
    for year, scores in result.skill_by("year").iterrows():
        for key, value in scores.items():
            assert_shown(years.loc[str(year), _report.ROWS[key][0]], value)


def test_the_numbers_of_its_other_tables_are_those_of_the_result(html, result):
    skill, slopes, factors, inside, reasons, refits = tables_of(html)[5:]
    parts = {
        f"{by}: {part}": row
        for by in ("market", "volatility")
        for part, row in result.skill_by(by).iterrows()
    }
    assert list(skill.index) == list(parts)
    for label, row in parts.items():
        keys = ["rank_ic", "rank_ic_t", "r2_zero", "spread", "n_dates"]
        for cell, key in zip(skill.loc[label], keys, strict=True):
            assert_shown(cell, row[key])
    for name, row in result.calibration().attrs["slopes"].iterrows():
        slope, interval = slopes.loc[name]
        cells = [slope, *interval.split(" to ")]
        for cell, key in zip(cells, ("slope", "lower", "upper"), strict=True):
            assert_shown(cell, row[key])
    for name, row in result.factor_skill().iterrows():
        for cell, value in zip(
            factors.loc[name], row.drop("factor_ic_t")[:4], strict=1
        ):
            assert_shown(cell, value)
    # Cell by cell, whether the return was between the bounds.
    returns = result.returns.to_numpy()
    bounds = {level: table.to_numpy() for level, table in result.quantiles.items()}
    for column, (low, high) in {
        "90% interval": (0.05, 0.95),
        "50% interval": (0.25, 0.75),
    }.items():
        held, width = [], []
        for cell in np.ndindex(returns.shape):
            lower, actual, upper = bounds[low][cell], returns[cell], bounds[high][cell]
            if np.isfinite(lower + actual + upper):
                held.append(lower <= actual <= upper)
            if np.isfinite(lower + upper):
                width.append(upper - lower)
        assert_shown(inside.loc["all", column], np.mean(held))
        if low == 0.05:
            assert_shown(inside.loc["all", "width of the 90% interval"], np.mean(width))
    assert reasons["times"].astype(int).sum() == len(result.reasons)
    for (first, row), cells in zip(
        result.refits.iterrows(), refits.reset_index().to_numpy(), strict=True
    ):
        assert cells[0] == f"{first:%Y-%m-%d}"
        assert cells[1] == f"{row['test_end']:%Y-%m-%d}"
        assert cells[2] == f"{row['train_start']:%Y-%m-%d}"
        assert cells[3] == f"{row['train_end']:%Y-%m-%d}"
        assert cells[4] == str(row["n_train_rows"])
        assert_shown(cells[5], row["fit_seconds"])
        assert_shown(cells[6], row["fallback_rate"])


def test_benchmarks_that_are_compared_alike_share_a_row(result):
    mean = result.benchmarks["historical mean"]
    filled = mean.where(mean.notna(), result.forecasts * 0)
    alike = replace(result, benchmarks={"historical mean": filled})
    (tests,) = tables_of(_report._paired_tests(alike, 3))
    assert "equal weight, zero: rank IC" in tests.index
    assert "zero: rank IC" not in tests.index
    assert "zero: squared error saved, basis points²" in tests.index
    assert "for all 7 comparisons" in _report._paired_tests(alike, 3)


def test_it_holds_adjusted_p_values_and_parts_of_the_skill(html, result):
    text = text_of(html)
    test = result.paired_tests().loc[("reversal", "rank_ic")]
    shown = text.split("reversal: rank IC")[1].split()[:7]
    assert shown[-2:] == [f"{test['p_value']:.3f}", f"{test['p_holm']:.3f}"]
    for by in ("market", "volatility"):
        for part, row in result.skill_by(by).iterrows():
            assert f"{by}: {part} {number(row['rank_ic'], 4)}" in text
    slope = result.calibration().attrs["slopes"].loc["overall", "slope"]
    assert f"overall {slope:+.2f}" in text
    factor = result.factor_skill().loc["beta"]
    beyond = f"{factor['factor_ic']:+.4f} {factor['residual_ic']:+.4f}"
    assert f"beta {factor['correlation']:+.2f} {beyond}" in text


def test_it_holds_what_the_result_rests_on(html, result):
    text = text_of(html)
    first = result.prices.index[0]
    assert f"260 rows from {first:%Y-%m-%d}" in text
    assert "survivorship bias" in text
    assert f"xgboost {version('xgboost')}" in text
    assert "FallbackForecaster(" in text
    assert "1 tried, this one included" in text


def test_it_is_legible_in_the_dark_and_on_a_phone(html):
    assert "prefers-color-scheme: dark" in html
    assert "color-scheme: light dark" in html
    # A color of paper or ink that is fixed would stay so in the dark.
    style = html[html.index("<style>") : html.index("@media (max-width")]
    fixed = re.findall(r"(?:background|color): ?#\w+", style)
    assert not fixed
    for table in re.findall(r".{30}<table", html):
        assert '<div class="scroll">' in table


def test_costs_groups_and_names_of_users_are_shown(
    quiet_walk, prices, linear_model, tmp_path
):
    panel = pd.concat({"close": prices, "volume": prices * 0 + 1e6}, axis=1)
    options = {"n_trials": 20, "refit_every": 110, "name": "<b>mine</b>"}
    result = quiet_walk(linear_model, panel, **options)
    costs = TradingCosts(commission=1, half_spread=2, impact=0.5)
    groups = {name: f"sector {n % 2}" for n, name in enumerate(prices)}
    path = result.to_html(tmp_path / "r.html", costs=costs, groups=groups)
    html = path.read_text(encoding="utf-8")
    assert "<b>mine" not in html
    assert "&lt;b&gt;mine" in html
    text = text_of(html)
    assert "1 basis point of the traded value, half the spread, market impact" in text
    assert "Deflated Sharpe ratio, 20 tried" in text
    assert "Capacity" in text
    assert "group: sector 1" in text
    assert "size: high" in text


def test_a_result_shows_itself_in_notebooks(result):
    html = result._repr_html_()
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    assert "rank IC" in html
    assert "<table" in html
    assert f"{result.scorecard['rank_ic'].iloc[0]:.4g}" in html


def test_reasons_that_differ_in_numbers_only_are_one(html, result):
    reasons = result.reasons["reason"]
    assert reasons.str.contains(r"\d labels, needs 20").any()
    assert "primary: fewer labels than 20" in html
    assert "labels, needs" not in html


def test_the_same_result_gives_the_same_file(html, result, tmp_path):
    again = result.to_html(tmp_path / "again.html").read_text(encoding="utf-8")
    assert again == html


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
    monkeypatch.setattr("skbatch.model_selection._report.render", lambda *_: "page")
    with pytest.raises(OSError, match="No space"):
        result.to_html(path)
    assert path.read_text() == "yesterday"
    assert list(tmp_path.iterdir()) == [path]
