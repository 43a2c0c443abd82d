import html
import json
import os
import re
import subprocess
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import skbatch
import skbatch.datasets
from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    __main__,
    cli,
    forward_returns,
    read_panel,
)
from skbatch.cli._output import without_formulas
from skbatch.datasets import make_panel

COLUMNS = [
    "ticker",
    "date",
    "horizon",
    "delay",
    "expected_return",
    "lower",
    "upper",
    "volatility",
    "p_positive",
    "model",
    "batch",
    "reason",
]
# Variables that make rich believe in a terminal.
NO_COLOR = dict.fromkeys(["FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS"])
PIPE = {name: value for name, value in os.environ.items() if name not in NO_COLOR}


@pytest.fixture(scope="module")
def prices():
    return make_panel(n_dates=320, n_tickers=5, random_state=0).round(3)


def run(*arguments):
    """Run a command in this process."""
    return CliRunner(env=NO_COLOR).invoke(cli.app, [str(part) for part in arguments])


def read_forecasts(path):
    """Read cells as they are written, and all digits of the forecasts."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    forecasts = [float(cell or "nan") for cell in table["expected_return"]]
    return table.assign(expected_return=forecasts)


def table_rows(output):
    """Cut the table of forecasts out of the output: ticker → rest of the line.

    A line that begins with a space goes on with the reason of the one above.
    """
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("──")) + 1
    table = [row for row in lines[start : lines.index("", start)] if row[0] != " "]
    return dict(row.rstrip().split(maxsplit=1) for row in table)


def with_volume(prices):
    """Make the table that yfinance downloads."""
    volume = (prices * 1000).round()
    frame = pd.concat({"Close": prices, "Volume": volume}, axis=1)
    return frame.rename_axis(index="Date", columns=["Price", "Ticker"])


def write_wide(prices, folder):
    prices.to_csv(folder / "wide.csv")
    return folder / "wide.csv", ()


def write_parquet(prices, folder):
    prices.to_parquet(folder / "wide.parquet")
    return folder / "wide.parquet", ()


def write_yfinance(prices, folder):
    with_volume(prices).to_csv(folder / "yfinance.csv")
    return folder / "yfinance.csv", ()


def write_field(prices, folder):
    with_volume(prices).to_csv(folder / "field.csv")
    return folder / "field.csv", ("--field", "Close")


def write_long(prices, folder):
    long = prices.rename_axis("when").melt(
        var_name="paper", value_name="paid", ignore_index=False
    )
    long["rating"] = 3
    long.sample(frac=1, random_state=0).to_csv(folder / "long.csv")
    names = ("--date", "when", "--ticker", "paper", "--value", "paid")
    return folder / "long.csv", names


@pytest.fixture(scope="module")
def of_the_api(prices):
    """Forecasts and provenance of the pipeline that commands fit by default."""

    @cache
    def of(has_volume):
        panel = read_panel(with_volume(prices) if has_volume else prices)
        model = make_pipeline(
            SharedFeatureExtractor(),
            FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster()),
        )
        model.fit(panel, forward_returns(panel, horizon=3))
        return model.predict(panel.iloc[[-1]]).iloc[0], model[-1].provenance_

    return of


@pytest.mark.parametrize(
    "write", [write_wide, write_parquet, write_yfinance, write_field, write_long]
)
def test_forecast_writes_what_the_python_api_forecasts(
    write, prices, of_the_api, tmp_path
):
    path, options = write(prices, tmp_path)
    output = tmp_path / "forecasts.csv"
    result = run("forecast", path, "--horizon", 3, "--output", output, *options)
    assert (result.exit_code, result.stderr) == (0, "")

    expected, provenance = of_the_api(write is write_yfinance)
    table = read_forecasts(output)
    assert list(table.columns) == COLUMNS
    assert list(table["ticker"]) == list(prices.columns)
    assert set(table["date"]) == {str(prices.index[-1].date())}
    assert set(table["horizon"]) == {"3"}
    # CSV readers may round the last digit of a price.
    np.testing.assert_allclose(table["expected_return"], expected, rtol=1e-9)
    assert list(table["model"]) == list(provenance["model"])
    assert list(table["reason"]) == list(provenance["reason"])

    assert f"Written to {output}" in result.stdout
    by_forecast = table.sort_values("expected_return", ascending=False)
    rows = table_rows(result.stdout)
    assert list(rows) == list(by_forecast["ticker"])
    for row in by_forecast.itertuples():
        assert rows[row.ticker].startswith(f"{100 * row.expected_return:+.3f}% ")


def test_the_table_has_intervals_and_fits_60_columns(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    output = tmp_path / "forecasts.csv"
    options = "--coverage", 0.8, "--output", output, "--holdout", 0
    result = run("forecast", path, *options)
    table = read_forecasts(output).set_index("ticker")
    rows = table_rows(result.stdout)
    for ticker, row in table.iterrows():
        for name in ("lower", "upper"):
            assert f"{100 * float(row[name]):+.1f}%" in rows[ticker]
        assert f" {100 * float(row['volatility']):.1f}%" in rows[ticker]
    lines = result.stdout.splitlines()
    assert lines[0].endswith(", all by XGBoost")
    assert max(len(line.rstrip()) for line in lines if "%   " in line) <= 60


def test_the_table_has_the_bounds_of_every_coverage(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    output = tmp_path / "forecasts.csv"
    shares = "--coverage", 0.5, "--coverage", 0.9
    result = run("forecast", path, *shares, "--output", output, "--holdout", 0)
    rows = table_rows(result.stdout)
    for ticker, row in read_forecasts(output).set_index("ticker").iterrows():
        for name in ("lower_50", "upper_50", "lower_90", "upper_90"):
            assert name in result.stdout
            assert f"{100 * float(row[name]):+.1f}%" in rows[ticker]


def test_output_is_optional(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path, "--holdout", 0)
    assert result.exit_code == 0
    assert "Written" not in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["wide.csv"]


def test_tickers_without_a_price_are_listed_with_their_reason(prices, tmp_path):
    prices = prices.copy()
    prices.iloc[-1, 1] = np.nan
    prices.iloc[5, 2] = -1.0
    prices.columns = ["A", "B", "[bold]C[/bold]", "D", "E"]
    path, _ = write_wide(prices, tmp_path)
    output = tmp_path / "forecasts.csv"
    result = run("forecast", path, "--output", output, "--holdout", 0)

    assert result.exit_code == 0
    assert f"\nB,{prices.index[-1].date()},5,0,,,,,,none," in output.read_text()
    missing = read_forecasts(output).set_index("ticker").loc["B"]
    assert "at this date" in missing["reason"]
    rows = table_rows(result.stdout)
    assert list(rows)[-1] == "B"
    assert rows["B"].split(maxsplit=2)[:2] == ["NaN", "none"]
    assert "[bold]C[/bold]" in rows, "tickers must not be read as markup"

    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("warning: ") for line in lines)
    assert "[bold]C[/bold]" in lines[0]
    assert "cannot forecast 1 of 5 tickers" in lines[1]


def test_a_warning_is_shown_once(prices, tmp_path):
    # Reading, labels and features all look at the panel.
    path, _ = write_wide(prices.assign(T001=np.nan), tmp_path)
    result = run("forecast", path, "--holdout", 60)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == len(set(lines)) == 2


def test_old_prices_that_look_wrong_are_named(tmp_path):
    prices = make_panel(400, 5, random_state=0)
    prices.iloc[60, 1] *= 100.0
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path, "--holdout", 0)
    assert result.exit_code == 0
    assert (
        "The prices of 1 ticker have changes that look like errors: T001 (2 changes"
        in (result.stderr)
    )
    assert f"{prices.iloc[60, 1]:g} on {prices.index[60].date()}" in result.stderr


def test_the_second_fit_does_not_warn(prices, tmp_path):
    # Where the second fit ends, the new ticker is too young for the primary model.
    prices = prices.copy()
    prices.iloc[:-120, 1] = np.nan
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path, "--holdout", 80)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Hold-out: a second model" in result.stdout


def test_long_tables_are_cut_in_the_middle(monkeypatch):
    panel = make_panel(n_dates=300, n_tickers=31, random_state=0)
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", lambda: panel)
    result = run("demo", "--holdout", 0)
    assert result.exit_code == 0
    rows = table_rows(result.stdout)
    assert len(rows) == 21
    assert list(rows)[10] == "..."
    assert rows["..."] == "11 more"


def test_demo_tells_stages_facts_and_scores_of_rows_not_seen(monkeypatch):
    panel = make_panel(n_dates=500, n_tickers=5, random_state=1)
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", lambda: panel)
    result = run("demo", "--horizon", 2, "--holdout", 100)
    assert (result.exit_code, result.stderr) == (0, "")
    text = " ".join(result.stdout.split())
    first, last = panel.index[[0, -1]].date
    assert f"5 tickers, 500 rows from {first} to {last}, fields: close" in text
    stages = "start", "read", "features", "fit", "forecast", "hold-out", "total"
    for stage in stages:
        assert re.search(rf"^{stage} +\d+\.\d\d$", result.stdout, re.MULTILINE), stage

    y = forward_returns(panel, 2)
    model = make_pipeline(
        SharedFeatureExtractor(),
        FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster()),
    )
    forecasts = model.fit(panel[:-100], y[:-100]).predict(panel[-100:])[:-2].to_numpy()
    actual = panel.pct_change(2, fill_method=None).shift(-2)[-100:-2].to_numpy()
    r2 = 1 - ((actual - forecasts) ** 2).sum() / (actual**2).sum()
    pairs = zip(actual, forecasts, strict=True)
    ranks = [scipy.stats.spearmanr(*pair).statistic for pair in pairs]
    error = np.std(ranks, ddof=1) / np.sqrt(len(ranks) / 2)
    assert f"rank IC of {np.mean(ranks):+.3f} (standard error {error:.3f})" in text
    assert f"R² of {100 * r2:+.2f}% against forecasting zero" in text
    known = panel.pct_change(2, fill_method=None).shift(-2)[:-102]
    drift = 1 - ((actual - known.mean().to_numpy()) ** 2).sum() / (actual**2).sum()
    assert f"historical mean: {100 * drift:+.2f}%)" in text


def test_a_short_panel_is_forecast_but_not_scored(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path)
    assert result.exit_code == 0
    assert "Not scored: a hold-out of 252 rows" in result.stdout


def test_one_ticker_has_no_rank_ic(tmp_path):
    path, _ = write_wide(make_panel(n_dates=400, n_tickers=1, random_state=0), tmp_path)
    result = run("forecast", path, "--holdout", 60)
    assert result.exit_code == 0
    assert "has an R² of" in " ".join(result.stdout.split())


def write_words(prices, folder):
    prices.assign(T001="soon").to_csv(folder / "words.csv")
    return folder / "words.csv"


def write_duplicates(prices, folder):
    pd.concat([prices, prices.iloc[-1:]]).to_csv(folder / "d.csv")
    return folder / "d.csv"


def write_binary(_, folder):
    (folder / "b.csv").write_bytes(b"\xff\xfe\x00\x80" * 9)
    return folder / "b.csv"


def write_text(_, folder):
    (folder / "t.parquet").write_text("date,A\n")
    return folder / "t.parquet"


def write_empty(_, folder):
    (folder / "e.csv").write_text("")
    return folder / "e.csv"


def write_prices(prices, folder):
    return write_wide(prices, folder)[0]


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        (lambda _, folder: folder / "none.csv", (), "existing file"),
        (lambda _, folder: folder, (), "not a folder"),
        (write_words, (), "in T001"),
        (write_duplicates, (), "every date once"),
        (write_binary, (), ""),
        (write_text, (), ""),
        (write_empty, (), "must hold prices"),
        (write_prices, ("--date", "when"), "when"),
        (write_prices, ("--value", "paid"), "value"),
        (write_prices, ("--field", "Bid"), "Bid"),
        (write_prices, ("--horizon", 320), "less than the number of dates"),
        (write_prices, ("--output", "forecasts.txt"), "end in .csv"),
        (write_prices, ("--output", "nowhere/forecasts.csv"), "existing folder"),
        (write_prices, ("--performance", "nowhere/time.json"), "existing folder"),
        (write_prices, ("--output", "wide.csv"), "must not be the price file"),
    ],
)
def test_errors_of_users_are_one_line(
    write, options, message, prices, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = write(prices, tmp_path)
    before = path.read_bytes() if path.is_file() else None
    result = run("forecast", path, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(r"error: .+\n", result.stderr)
    assert message in result.stderr
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("shares", [(2,), (90,), (0,), (0.5, 0.5)])
def test_coverages_are_different_shares(shares):
    flags = [part for share in shares for part in ("--coverage", share)]
    result = run("forecast", "prices.csv", *flags)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: `--coverage` must be between 0 and 1")
    assert "For 90%, pass --coverage 0.9." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo", "--horizon", 0), "a whole number of at least 1. Got 0."),
        (("demo", "--horizon", "week"), "a whole number of at least 1. Got week."),
        (("weights", "x.csv", "--max-weight", 3), "a number from 0 to 1. Got 3."),
        (("forecast", "x.csv", "--coverage", "half"), "must be a number. Got half."),
    ],
)
def test_values_of_the_wrong_kind_are_refused(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert arguments[-2] in result.stderr
    assert "Traceback" not in result.stderr
    if "Got" in result.stderr:
        # Older releases of typer explain values in their own words.
        assert message in " ".join(re.sub("[│╭╰─╮╯]", "", result.stderr).split())


def test_labels_that_are_all_missing_are_a_reason(tmp_path):
    prices = pd.DataFrame(
        {"A": [1.0, np.nan] * 20, "B": [np.nan, 1.0] * 20},
        index=pd.date_range("2020-01-01", periods=40, freq="D"),
    )
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path, "--horizon", 1, "--holdout", 0)
    assert result.exit_code == 0
    rows = table_rows(result.stdout)
    assert list(rows) == ["A", "B"]
    assert all(row.split()[:2] == ["NaN", "none"] for row in rows.values())
    assert all("quarantined" in row for row in rows.values())


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError])
def test_errors_of_the_program_keep_their_traceback(
    error, prices, tmp_path, monkeypatch
):
    def fail(*_):
        raise error("a bug")

    monkeypatch.setattr(BatchXGBoostForecaster, "fit", fail)
    result = run("forecast", write_prices(prices, tmp_path))
    assert isinstance(result.exception, error)
    assert result.exit_code == 1


def test_missing_datasets_name_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio.datasets", None)
    result = run("demo")
    assert result.exit_code == 2
    assert "skbatch[datasets]" in result.stderr


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_missing_packages_of_the_command_line_name_its_extra(package, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("skbatch.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(skbatch, "cli")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert str(stop.value).startswith(f"error: the command line needs {package}")
    assert "pip install 'skbatch[cli]'" in str(stop.value)


def test_help_names_files_rows_and_columns_and_no_type_of_python():
    commands = skbatch.cli.app.registered_commands
    names = [command.callback.__name__ for command in commands]
    assert len(names) > 5
    for name in names:
        text = CliRunner().invoke(skbatch.cli.app, [name, "--help"]).output
        assert len(re.findall(r"^[│ *]+(--[\w-]+.*)", text, re.M)) > 3
        assert not re.search(r"<[\w\[\] ]+>", text)


def test_version_and_help_import_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from skbatch.cli import app;"
        "outputs = [CliRunner().invoke(app, [o]).output for o in sys.argv[1:]];"
        "print(*outputs);"
        "print('heavy:', *{'numpy', 'pandas', 'sklearn', 'xgboost'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, "--version", "--help"]
    output = subprocess.check_output(command, text=True, env=PIPE, encoding="utf-8")
    assert f"skbatch {skbatch.__version__}" in output
    assert "demo" in output
    assert "forecast" in output
    assert output.splitlines()[-1].strip() == "heavy:"


def test_a_pipe_gets_plain_text(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    command = [sys.executable, "-m", "skbatch", "forecast", path]
    done = subprocess.run(command, capture_output=True, env=PIPE, check=True)
    assert done.stderr == b""
    text = done.stdout.decode().replace(os.linesep, "\n")
    assert not re.search(r"[\x1b\r]", text)
    assert list(table_rows(text))
    # The sentence about scores is longer than a line.
    assert 80 < max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals.")
def test_a_terminal_gets_a_progress_bar_on_stderr(prices, tmp_path):
    import pty

    path, _ = write_wide(prices, tmp_path)
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "skbatch", "forecast", path, "--holdout", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=writer,
        env={**PIPE, "TERM": "xterm-256color"},
    ) as process:
        os.close(writer)
        drawn = b""
        while chunk := read_terminal(reader):
            drawn += chunk
        assert process.stdout is not None
        assert b"\x1b" not in process.stdout.read()
    os.close(reader)
    assert process.returncode == 0
    assert "fit: BatchXGBoostForecaster" in drawn.decode()
    assert drawn.endswith(b"\x1b[2K"), "the bar must leave nothing behind"


def read_terminal(reader):
    """Read what was drawn; Linux reports the end of a pseudo-terminal as an error."""
    try:
        return os.read(reader, 4096)
    except OSError:
        return b""


# Batches ------------------------------------------------------------------------------


def test_settings_come_from_a_file_and_options_win(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text(
        "horizon = 9\n[batch]\nmax_batch_size = 2\n"
        '[model]\nkind = "linear"\nstrategy = "per_ticker"\n'
    )
    output = tmp_path / "forecasts.csv"
    options = "--config", settings, "--horizon", 3, "--output", output, "--holdout", 0
    result = run("forecast", path, *options)
    assert result.exit_code == 0, result.output
    table = read_forecasts(output)
    assert set(table["horizon"]) == {"3"}
    assert set(table["model"]) == {"BatchLinearForecaster"}
    assert table["batch"].nunique() == 3


def test_several_horizons_are_shown_one_after_the_other(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text('horizon = [1, 4]\n[model]\nkind = "linear"\n')
    output = tmp_path / "forecasts.csv"
    result = run("forecast", path, "--config", settings, "--output", output)
    assert result.exit_code == 0, result.output
    assert "over the next 1 row, all by the linear model\n" in result.stdout
    assert "over the next 4 rows" in result.stdout
    assert list(read_forecasts(output)["horizon"]) == ["1"] * 5 + ["4"] * 5


@pytest.mark.parametrize("where", ["option", "file", "environment"])
def test_a_delay_is_learned_written_and_shown(where, prices, tmp_path, monkeypatch):
    path, _ = write_wide(prices, tmp_path)
    output, settings = tmp_path / "forecasts.csv", tmp_path / "settings.toml"
    settings.write_text('[model]\nkind = "linear"\n')
    options = ["--delay", 2] if where == "option" else []
    if where == "file":
        settings.write_text('delay = 2\n[model]\nkind = "linear"\n')
    if where == "environment":
        monkeypatch.setenv("SKBATCH_DELAY", "2")
    given = ("--config", settings, "--output", output, "--holdout", 40)
    result = run("forecast", path, *given, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    shown = " ".join(result.stdout.split())
    assert "over the next 5 rows, starting 2 rows after the forecast" in shown
    assert "Hold-out: a second model" in shown
    table = read_forecasts(output)
    assert list(table["delay"]) == ["2"] * 5
    config = skbatch.BatchForecastingConfig(delay=2, model={"kind": "linear"})
    expected = config.to_system().fit(prices).forecast().expected_returns
    np.testing.assert_allclose(table["expected_return"], expected)


def test_time_and_memory_are_written_and_batches_told(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    told = tmp_path / "performance.json"
    command = "forecast", path, "--holdout", 0, "--verbose", "--performance", told
    process = subprocess.run(
        [sys.executable, "-m", "skbatch", *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
        env=PIPE,
    )
    assert "skbatch: batch 1 of 1 (all): 5 tickers" in process.stderr
    assert f"Written to {told}" in process.stdout
    stages = {stage["name"] for stage in json.loads(told.read_text())["stages"]}
    assert {"screen", "features", "fit", "forecast"} <= stages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--memory-budget", "1MiB"), "error: `--memory-budget` must be at least"),
        (("--memory-budget", "0.00001"), "error: `--memory-budget` must be at least"),
        (("--memory-budget", "lots"), "error: `--memory-budget` must be"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_bad_settings_are_told_in_a_line(prices, tmp_path, options, message):
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path, *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_run_goes_on_from_its_checkpoints(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    command = "forecast", path, "--holdout", 0, "--checkpoint-dir", tmp_path / "run"
    first = run(*command)
    assert first.exit_code == 0, first.output
    again = run(*command)
    assert table_rows(again.stdout) == table_rows(first.stdout)
    other = run(*command, "--horizon", 2)
    assert other.exit_code == 2
    assert "error: `--checkpoint-dir` must belong to the same prices" in other.stderr


# Files and terminals ------------------------------------------------------------------


def test_horizons_of_the_command_win_and_each_is_scored(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text('horizon = [1, 4]\n[model]\nkind = "mean"\n')
    output = tmp_path / "forecasts.csv"
    options = "--horizon", 2, "--horizon", 3, "--output", output, "--holdout", 60
    result = run("forecast", path, "--config", settings, *options)
    assert result.exit_code == 0, result.output
    assert list(read_forecasts(output)["horizon"]) == ["2"] * 5 + ["3"] * 5
    text = " ".join(result.stdout.split())
    for horizon in (2, 3):
        y = prices.pct_change(horizon, fill_method=None).shift(-horizon)
        actual, means = y[-60:-horizon], y[: -60 - horizon].mean()
        r2 = 1 - ((actual - means) ** 2).sum().sum() / (actual**2).sum().sum()
        pattern = rf"{horizon} rows ahead, [^;]*an R² of {100 * r2:+.2f}% against"
        assert re.search(pattern.replace("+", r"\+"), text), text


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_forecasts_go_to_stdout_and_all_else_to_stderr(name, prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    output = tmp_path / "forecasts.csv"
    expected = run("forecast", path, "--holdout", 0, "--output", output)
    result = run("forecast", path, "--holdout", 0, "--output", name)
    assert result.exit_code == 0
    assert result.stdout == output.read_text()
    assert table_rows(result.stderr) == table_rows(expected.stdout)
    assert "Written" not in result.output


@pytest.mark.skipif(os.name != "posix", reason="Windows has no /dev/null.")
def test_forecasts_go_to_a_device(prices, tmp_path):
    path, _ = write_wide(prices, tmp_path)
    result = run("forecast", path, "--holdout", 0, "--output", "/dev/null")
    assert result.exit_code == 0, result.output


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("option", ["--output", "--performance"])
def test_a_full_disk_leaves_the_file_of_yesterday(option, prices, tmp_path, request):
    path, _ = write_wide(prices, tmp_path)
    output = tmp_path / "old.csv"
    output.write_text("yesterday")
    patch = request.getfixturevalue("monkeypatch")
    patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(FULL))
    result = run("forecast", path, "--holdout", 0, option, output)
    assert result.exit_code == 2
    assert f"error: `{option}` must be writable. Got '{output}'" in result.stderr
    assert "(No space left on device)" in result.stderr
    assert output.read_text() == "yesterday"
    assert len(list(tmp_path.iterdir())) == 2


def test_forecasts_are_written_before_they_are_scored(prices, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("skbatch.cli._holdout.score", fail)
    path, _ = write_wide(prices, tmp_path)
    output = tmp_path / "forecasts.csv"
    assert run("forecast", path, "--output", output).exit_code == 1
    assert len(read_forecasts(output)) == 5


WILD = ["=CMD|'/c calc'!A0", "+1", "-1", "@SUM(1)", "\x1b]0;title\x07\x1b[31mred"]


def test_tickers_are_no_formulas_and_no_commands(prices, tmp_path):
    prices = prices.set_axis(WILD, axis=1)
    prices.iloc[5, 4] = -1.0
    path, _ = write_wide(prices, tmp_path)
    output, raw = tmp_path / "forecasts.csv", tmp_path / "raw.csv"
    result = run("forecast", path, "--holdout", 0, "--output", output)
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.output)
    red = r"\x1b]0;title\x07\x1b[31mred"
    shown = [f"'{name}" for name in WILD[:4]]
    assert list(read_forecasts(output)["ticker"]) == [*shown, red]
    assert red in table_rows(result.stdout)
    first, second = result.stderr.splitlines()
    assert first.startswith("warning: ")
    assert red in first
    assert second.startswith("warning: Tickers must not be formulas")

    result = run("forecast", path, "--holdout", 0, "--output", raw, "--raw")
    assert list(read_forecasts(raw)["ticker"]) == WILD
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.output)


@pytest.mark.parametrize("start", ["\t", "\r", "\n", "\x1b[2J"])
def test_cells_begin_with_no_control_character(start):
    columns = dict.fromkeys(["batch", "reason"], "")
    forecasts = pd.DataFrame({"ticker": [f"{start}=1", "A"], **columns})
    tickers = list(without_formulas(forecasts)["ticker"])
    assert tickers == [f"{ascii(start)[1:-1]}=1", "A"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["error", "warning", "log", "bug"])
def test_no_message_commands_the_terminal(kind, tmp_path):
    code = """
import sys, warnings
import pandas as pd
import skbatch.__main__, skbatch.panel

kind = sys.argv[1]

def read(*_, **__):
    if kind == "error":
        raise skbatch.exceptions.PanelError("\\x1b[31m")
    if kind == "bug":
        raise RuntimeError("\\x1b[31m")
    warnings.warn("\\x1b[31m", RuntimeWarning)
    raise skbatch.exceptions.PanelError("end")

skbatch.panel.read_panel = read
if kind == "log":
    from skbatch.cli._shell import log_to_stderr
    import logging
    log_to_stderr()
    logging.getLogger("skbatch").info("%s", "\\x1b[31m")
    sys.exit()
sys.argv = ["skbatch", "forecast", "prices.csv"]
skbatch.__main__.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, kind], capture_output=True, text=True, env=PIPE
    )
    assert done.returncode == {"log": 0, "bug": 1}.get(kind, 2), done.stderr
    assert r"\x1b[31m" in done.stderr
    assert "\x1b" not in done.stderr


def test_the_report_has_every_forecast_and_is_safe_to_open(prices, tmp_path):
    prices = prices.rename(columns={prices.columns[0]: "<b>A</b>"})
    prices.to_csv(tmp_path / "prices.csv")
    report = tmp_path / "report.html"
    options = ("--holdout", 0, "--horizon", 3, "--horizon", 5, "--report", report)
    result = run("forecast", tmp_path / "prices.csv", *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    page = report.read_text(encoding="utf-8")
    assert "<b>A</b>" not in page
    assert page.count('<img alt="Expected returns with their intervals, ranked"') == 2
    assert page.count('<img alt="Expected volatility, ranked"') == 2
    tables = page.split("<table>")[1:]
    content = json.loads(result.stdout)
    assert content["relative_to"] == "the market"
    rows = content["forecasts"]
    for table, horizon in zip(tables, (3, 5), strict=True):
        shown = re.findall("<tr><td>(.*?)</td><td>(.*?)</td>", table)
        assert {html.unescape(ticker): number for ticker, number in shown} == {
            row["ticker"]: f"{row['expected_return']:+.2%}"
            for row in rows
            if row["horizon"] == horizon
        }
    again = run("forecast", tmp_path / "prices.csv", "--report", "report.txt")
    assert again.exit_code == 2
    assert "`--report` must end in .html" in again.stderr
