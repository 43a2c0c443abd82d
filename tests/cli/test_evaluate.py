import json
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.progress import Progress
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingConfig,
    BatchLinearForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    walk_forward,
)
from skbatch.cli._shell import Stages

SCHEDULE = ("--train", 150, "--refit", 85)


@pytest.fixture(scope="module")
def expected(eight_tickers, tmp_path_factory):
    system = BatchForecastingConfig(
        horizon=3,
        features={"families": ["returns", "volatility"], "windows": [5, 21]},
        model={"kind": "linear"},
        fallback={"enabled": False},
    ).to_system()
    return walk_forward(
        system, eight_tickers, horizon=3, min_train=150, refit_every=85, name="skbatch"
    )


def test_scores_and_tests_are_those_of_walk_forward(
    run, eight_tickers_csv, quick, expected
):
    result = run("evaluate", eight_tickers_csv, "--config", quick, "--json", *SCHEDULE)
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(result.stdout)
    assert content["refits"] == len(expected.refits) == 2
    assert content["dates"]["count"] == len(expected.forecasts) == 170
    (horizon,) = content["horizons"]
    scores = pd.DataFrame(horizon["scores"]).set_index("forecaster").astype(float)
    pd.testing.assert_frame_equal(
        scores, expected.scorecard.astype(float), check_names=False
    )
    tests = pd.DataFrame(horizon["tests"]).set_index(["benchmark", "score"])
    pd.testing.assert_frame_equal(
        tests.astype(float), expected.paired_tests().astype(float), check_names=False
    )
    assert content["summary"] == expected.summary()


def test_the_bar_counts_every_fit(eight_tickers):
    stages = Stages(Progress(disable=True), current="evaluate")
    walk_forward(
        make_pipeline(SharedFeatureExtractor(["returns"]), BatchLinearForecaster()),
        eight_tickers,
        min_train=150,
        refit_every=85,
        benchmarks={"mean": HistoricalMeanForecaster()},
        callbacks=[stages],
    )
    (task,) = stages.progress.tasks
    assert task.description == "evaluate: 4 fits"
    assert task.completed == task.total == 4


def test_the_report_and_a_table_are_made(
    run, eight_tickers_csv, quick, expected, tmp_path
):
    report, groups = tmp_path / "report.html", tmp_path / "groups.csv"
    tickers = list(expected.closes)
    pd.DataFrame({"Symbol": tickers, "GICS Sector": list("aaaabbbb")}).to_csv(groups)
    result = run(
        *("evaluate", eight_tickers_csv, "--config", quick, "--report", report),
        *("--groups", groups, "--cost", 4, *SCHEDULE),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    page = report.read_text(encoding="utf-8")
    skill = expected.skill_by(dict(zip(tickers, "aaaabbbb", strict=True)))
    assert f"<td>group: b</td><td>{skill.loc['b', 'rank_ic']:+.4f}</td>" in page
    assert "Costs: 4 basis points of the traded value" in page
    rank_ic = expected.scorecard.loc["skbatch", "rank_ic"]
    assert result.stdout.splitlines()[-1] == f"Written to {report}"
    table = result.stdout[result.stdout.index("forecast by") :].split("\n\n")[0]
    assert table.splitlines()[2].split()[:2] == ["skbatch", f"{rank_ic:+.3f}"]
    assert max(map(len, table.splitlines())) <= 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--report", "report.pdf"), "`--report` must end in .html"),
        (("--report", "nowhere/report.html"), "must be in an existing folder"),
        (("--train", 400), "more rows than `--train`. Got 320 rows and --train 400."),
        (("--groups", "prices.csv"), "`--groups` must have a ticker column"),
        (("--groups", "others.csv"), "must list tickers of the price file. Got QQQ;"),
        (("--groups", "none.csv"), "Got 'none.csv' (No such file or directory)."),
        (("--groups", "groups.csv"), "each ticker once. Got A more than once"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_line(
    arguments, message, run, eight_tickers_csv, quick, monkeypatch
):
    monkeypatch.chdir(eight_tickers_csv.parent)
    Path("groups.csv").write_text("ticker,sector\nA,x\nA,y\n")
    Path("others.csv").write_text("ticker,sector\nQQQ,x\n")
    result = run("evaluate", eight_tickers_csv, "--config", quick, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (None, "PRICES must be an existing file"),
        ("when,A,B\n1,2,3\n2,3,4\n", "with `--date ...`"),
        ('Date,A\n2020-01-01,"1,234"\n2020-01-02,"1,236"\n', "a decimal point"),
        ("Date,A,B\n2020-01-01,x,y\n2020-01-02,u,v\n", "leave the cell empty"),
        ("Date,A,Adjusted\n2020-01-01,2,4\n2020-01-02,3,5\n", "write their field"),
    ],
)
def test_errors_about_files_name_no_python(content, advice, run, tmp_path):
    path = tmp_path / "prices.csv"
    if content:
        path.write_text(content)
    result = run("evaluate", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert advice in result.stderr
    assert not re.search(r"path_or_frame|\bX\b|\w=|read_panel", result.stderr)
