"""Models that are fitted once and used for later rows, and other forms of results."""

import io
import json
import os
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from skbatch import cli
from skbatch.datasets import make_panel

NO_COLOR = dict.fromkeys(["FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS"])
LINEAR = '[model]\nkind = "linear"\n'


def run(*arguments):
    """Run a command in this process."""
    return CliRunner(env=NO_COLOR).invoke(cli.app, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def prices():
    return make_panel(n_dates=420, n_tickers=5, random_state=0).round(3)


@pytest.fixture(scope="module")
def model(prices, tmp_path_factory):
    """A model of all rows but the last ten, and the folder with its prices."""
    folder = tmp_path_factory.mktemp("model")
    prices[:-10].to_csv(folder / "old.csv")
    (folder / "linear.toml").write_text(LINEAR)
    path = folder / "m.joblib"
    options = "--horizon", 2, "--horizon", 5, "--config", folder / "linear.toml"
    result = run("fit", folder / "old.csv", "--model", path, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Written to {path}" in result.stdout
    assert "5 tickers, 410 rows" in result.stdout
    return path


def forecasts_of(rows, model, folder, *options):
    """Forecast from rows by a model; give the table."""
    rows.to_csv(folder / "new.csv")
    output = folder / "out.parquet"
    command = "forecast", folder / "new.csv", "--model", model, "--output", output
    result = run(*command, *options)
    assert result.exit_code == 0, result.output
    return pd.read_parquet(output)


def test_a_model_is_a_system_without_the_command_line(model):
    assert b"skbatch.cli" not in model.read_bytes()
    assert joblib.load(model).horizon == (2, 5)


@pytest.mark.parametrize("first", [0, 300, -10])
def test_new_rows_are_forecast_as_in_python(first, prices, model, tmp_path):
    table = forecasts_of(prices[first:], model, tmp_path)
    expected = joblib.load(model).forecast(prices[-10:])
    np.testing.assert_allclose(
        table["expected_return"], expected.expected_returns, rtol=1e-5
    )
    assert set(table["date"]) == {prices.index[-1]}
    assert list(table["horizon"]) == [2] * 5 + [5] * 5


def test_the_last_fitted_row_is_forecast_without_new_rows(prices, model, tmp_path):
    table = forecasts_of(prices[:-10], model, tmp_path)
    expected = joblib.load(model).forecast().expected_returns
    np.testing.assert_array_equal(table["expected_return"], expected)


def test_a_model_gives_intervals_of_any_coverage(prices, model, tmp_path):
    options = "--coverage", 0.5, "--coverage", 0.8
    table = forecasts_of(prices, model, tmp_path, *options)
    system = joblib.load(model).set_params(coverage=[0.5, 0.8])
    expected = system.forecast(prices[-10:]).uncertainty
    np.testing.assert_allclose(table[list(expected)], expected, rtol=1e-5)
    assert (table["lower_80"] < table["lower_50"]).all()
    for shares in ((2,), (0.9, 0.9)):
        flags = [part for share in shares for part in ("--coverage", share)]
        failed = run("forecast", tmp_path / "new.csv", "--model", model, *flags)
        assert failed.exit_code == 2
        assert "`--coverage`" in failed.stderr


def test_a_history_that_was_adjusted_since_is_read_from_the_file(
    prices, model, tmp_path
):
    split = prices.copy()
    split["T001"] /= 2
    table = forecasts_of(split, model, tmp_path)
    expected = forecasts_of(prices, model, tmp_path)
    np.testing.assert_allclose(
        table["expected_return"], expected["expected_return"], rtol=1e-5
    )


def stale(prices):
    return prices[:-11]


def gapped(prices):
    return prices[-8:]


def adjusted(prices):
    return prices[300:].assign(T001=prices["T001"] / 2)


def adjusted_and_nothing_new(prices):
    return prices[:-10].assign(T001=prices["T001"] / 2)


def zoned(prices):
    return prices.tz_localize("UTC")


def lacking(prices):
    return prices.drop(columns="T001")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (stale, "must not end before the rows that the model was fitted on"),
        (gapped, "must hold every row that follows the fitted rows"),
        (adjusted, "Got different prices of T001 on"),
        (adjusted_and_nothing_new, "Got different prices of T001 on"),
        (lacking, "Got 1 fewer (T001)"),
        (zoned, "PRICES and the prices of the model must both have a time zone"),
    ],
)
def test_input_that_would_mislead_is_refused(change, reason, prices, model, tmp_path):
    change(prices).to_csv(tmp_path / "new.csv")
    output = tmp_path / "out.csv"
    command = "forecast", tmp_path / "new.csv", "--model", model, "--output", output
    result = run(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert reason in result.stderr
    assert "`X`" not in result.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--horizon", 5),
        ("--config", "a.toml"),
        ("--memory-budget", "1GiB"),
        ("--n-jobs", 2),
    ],
)
def test_settings_of_the_fit_are_refused_beside_a_model(options, model):
    result = run("forecast", model.parent / "old.csv", "--model", model, *options)
    assert result.exit_code == 2
    assert f"error: `{options[0]}` must be left out with --model" in result.stderr


@pytest.mark.parametrize("content", [None, b"", b"text", "a list"])
def test_other_files_are_no_models(content, model, tmp_path):
    path = tmp_path / "m.joblib"
    if content == "a list":
        joblib.dump([1], path)
    elif content is not None:
        path.write_bytes(content)
    result = run("forecast", model.parent / "old.csv", "--model", path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: `--model` must be a file that `skbatch fit")


def test_a_full_disk_leaves_the_model_of_last_week(model, tmp_path, monkeypatch):
    path = tmp_path / "m.joblib"
    path.write_text("last week")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    config = model.parent / "linear.toml"
    command = "fit", model.parent / "old.csv", "--model", path, "--config", config
    result = run(*command)
    assert result.exit_code == 2
    assert "error: `--model` must be writable" in result.stderr
    assert path.read_text() == "last week"


def test_a_folder_that_is_missing_is_found_before_the_fit(model, tmp_path):
    path = tmp_path / "nowhere" / "m.joblib"
    result = run("fit", model.parent / "none.csv", "--model", path)
    assert result.exit_code == 2
    assert "`--model` must be in an existing folder" in result.stderr


# Other forms of results ---------------------------------------------------------------


def test_chosen_tickers_are_shown_and_written(prices, model, tmp_path):
    options = "--tickers", "T003,T001", "--tickers", "T004"
    table = forecasts_of(prices, model, tmp_path, *options)
    whole = forecasts_of(prices, model, tmp_path)
    expected = whole[whole["ticker"].isin(["T001", "T003", "T004"])]
    pd.testing.assert_frame_equal(table, expected.reset_index(drop=True))


def test_tickers_that_are_not_in_the_file_are_named(model):
    command = "forecast", model.parent / "old.csv", "--model", model
    result = run(*command, "--tickers", "t001,QQQ")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: `--tickers` must be in the price file. Got t001, QQQ. Did you mean "
        "T001?\n"
    )


def test_json_holds_what_the_tables_show(prices, model, tmp_path):
    prices = prices.copy()
    prices.iloc[-1, 1] = np.nan
    config = model.parent / "linear.toml"
    prices.to_csv(tmp_path / "new.csv")
    options = "--horizon", 2, "--config", config, "--json", "--holdout", 60
    output = tmp_path / "out.csv"
    result = run("forecast", tmp_path / "new.csv", *options, "--output", output)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    table = pd.read_csv(output)
    found = pd.DataFrame(content["forecasts"])
    assert list(found) == list(table)
    np.testing.assert_allclose(
        found["expected_return"].astype(float), table["expected_return"], rtol=1e-12
    )
    assert content["forecasts"][1]["expected_return"] is None
    dates = [str(prices.index[place].date()) for place in (0, -1)]
    assert content["rows"] == {"count": 420, "first": dates[0], "last": dates[1]}
    (scores,) = content["held_out"]["scores"]
    assert scores["horizon"] == 2
    assert np.isfinite([scores["rank_ic"], scores["r2"]]).all()


def test_json_and_forecasts_do_not_share_stdout(model):
    command = "forecast", model.parent / "old.csv", "--model", model
    result = run(*command, "--json", "--output", "-")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "must be a file with --json" in result.stderr


def test_spreadsheets_hold_numbers_and_no_formulas(prices, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    prices.rename(columns={"T001": "=1+1"}).to_csv(tmp_path / "p.csv")
    output = tmp_path / "out.xlsx"
    options = "--holdout", 0, "--output", output
    assert run("forecast", tmp_path / "p.csv", *options).exit_code == 0
    sheet = openpyxl.load_workbook(io.BytesIO(output.read_bytes())).active
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[2][0] == "'=1+1"
    assert all(isinstance(cell, int | float) for cell in rows[2][3:8])
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}


def test_a_missing_package_names_its_extra(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    command = "forecast", model.parent / "old.csv", "--model", model
    result = run(*command, "--output", tmp_path / "out.xlsx")
    assert result.exit_code == 2
    assert "pip install 'skbatch[excel]'" in result.stderr
