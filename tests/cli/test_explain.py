import json
import math

import pytest


@pytest.mark.parametrize("ticker", [0, 5])
def test_parts_add_up_to_what_forecast_forecasts(
    ticker, run, eight_tickers, eight_tickers_csv, quick
):
    ticker = eight_tickers.columns[ticker]
    options = ("--config", quick, "--json")
    content = json.loads(run("explain", eight_tickers_csv, ticker, *options).stdout)
    forecasts = json.loads(
        run("forecast", eight_tickers_csv, "--holdout", 0, *options).stdout
    )["forecasts"]
    (forecast,) = (row for row in forecasts if row["ticker"] == ticker)
    (horizon,) = content["horizons"]
    total = math.fsum(part["contribution"] for part in horizon["parts"])
    assert total == pytest.approx(forecast["expected_return"], abs=1e-9)
    assert horizon["expected_return"] == pytest.approx(total, abs=1e-12)
    assert {part["family"] for part in horizon["parts"]} >= {"returns", "volatility"}


def test_the_tables_show_families_and_the_largest_features(
    run, eight_tickers, eight_tickers_csv, quick
):
    ticker = eight_tickers.columns[0]
    result = run("explain", eight_tickers_csv, ticker, "--config", quick, "--top", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{ticker} from {eight_tickers.index[-1].date()}")
    assert "Features with the largest contributions" in result.stdout
    tables = [part for part in result.stdout.split("\n\n") if "──" in part]
    assert max(len(line.rstrip()) for t in tables for line in t.splitlines()) <= 60
    lines = tables[0].splitlines()[2:]
    numbers = [float(line.split()[-1].rstrip("%")) for line in lines]
    assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.0005 * len(numbers))


def test_unknown_tickers_are_refused_with_the_nearest(run, eight_tickers_csv, quick):
    result = run("explain", eight_tickers_csv, "T00", "--config", quick)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Did you mean" in result.stderr


def test_the_column_of_tickers_is_named_by_the_option_that_errors_name(
    run, eight_tickers, tmp_path, quick
):
    long = eight_tickers.rename_axis("date").melt(
        var_name="ticker", value_name="close", ignore_index=False
    )
    long.assign(symbol="old " + long["ticker"]).to_csv(tmp_path / "long.csv")
    ticker = eight_tickers.columns[0]
    arguments = ("explain", tmp_path / "long.csv", ticker, "--config", quick)
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "`--ticker" in refused.stderr
    result = run(*arguments, "--ticker", "ticker")
    assert result.stdout.startswith(f"{ticker} from"), result.stderr
