import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf

from skbatch.cli import _optimizers

pytest.importorskip("skfolio")


@pytest.fixture
def weigh(run, eight_tickers_csv, quick):
    """Make weights: content of the JSON, and weights by ticker."""

    def weigh(*arguments):
        result = run(
            "weights", eight_tickers_csv, "--config", quick, "--json", *arguments
        )
        assert result.exit_code == 0, result.stderr
        content = json.loads(result.stdout)
        return content, pd.DataFrame(content["weights"]).set_index("ticker")

    return weigh


@pytest.fixture(scope="module")
def covariance(eight_tickers):
    returns = eight_tickers.pct_change().iloc[1:]
    return LedoitWolf().fit(returns.to_numpy()).covariance_


def test_least_risk_is_that_of_another_solver(weigh, eight_tickers, covariance):
    content, table = weigh("--optimizer", "min-risk", "--max-weight", 0.3)
    n_tickers = len(covariance)
    best = minimize(
        lambda w: 1e4 * w @ covariance @ w,
        np.full(n_tickers, 1 / n_tickers),
        bounds=[(0, 0.3)] * n_tickers,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-12,
    )
    got = table["weight"].reindex(eight_tickers.columns)
    np.testing.assert_allclose(got, best.x, atol=2e-3)
    assert content["facts"]["annual_volatility"] == pytest.approx(
        np.sqrt(252 * got @ covariance @ got), rel=0.02
    )


@pytest.mark.parametrize("optimizer", ["mean-risk", "max-sharpe", "min-risk"])
def test_pyportfolioopt_finds_the_same_weights(optimizer):
    pytest.importorskip("pypfopt")
    from pypfopt import EfficientFrontier, objective_functions

    draws = np.random.default_rng(0)
    names = list("ABCDE")
    mu = pd.Series(draws.normal(0.004, 0.004, 5), names)
    factors = draws.normal(0, 0.02, (40, 5))
    covariance = pd.DataFrame(factors.T @ factors / 40, names, names)
    held = pd.Series([0.6, 0.4, 0, 0, 0], names)
    frontier = EfficientFrontier(mu, covariance, weight_bounds=(0, 0.45))
    if optimizer == "mean-risk":
        trade = objective_functions.transaction_cost
        frontier.add_objective(trade, w_prev=held.to_numpy(), k=0.001)
        frontier.max_quadratic_utility(risk_aversion=8)
    elif optimizer == "max-sharpe":
        frontier.max_sharpe(risk_free_rate=0.0)
    else:
        frontier.min_volatility()
    got = _optimizers.optimize(
        _optimizers.Optimizer(optimizer),
        mu,
        covariance,
        max_weight=0.45,
        risk_aversion=8,
        held=held,
        cost=0.001,
    )
    assert got.sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(got, frontier.weights, atol=1e-3)


def test_without_skfolio_only_equal_weights_are_made(
    run, eight_tickers_csv, quick, monkeypatch
):
    monkeypatch.setattr(_optimizers, "find_spec", lambda name: None)
    options = ("--config", quick, "--max-weight", 0.5, "--optimizer")
    result = run("weights", eight_tickers_csv, *options, "min-risk")
    assert result.exit_code == 2
    assert "pip install 'skbatch[portfolio]'" in result.stderr
    assert run("weights", eight_tickers_csv, *options, "equal").exit_code == 0


@pytest.mark.parametrize("optimizer", ["mean-risk", "min-risk", "equal"])
def test_weights_are_a_portfolio_within_bounds(optimizer, weigh):
    _, table = weigh("--optimizer", optimizer, "--max-weight", 0.25)
    assert table["weight"].sum() == pytest.approx(1, abs=1e-5)
    assert table["weight"].between(0, 0.25 + 1e-5).all()


def test_max_sharpe_is_found_where_something_is_expected_to_rise(run, quick, tmp_path):
    noise = np.random.default_rng(1).normal(0.002, 0.01, (300, 4))
    dates = pd.bdate_range("2020-01-01", periods=300, name="date")
    rising = pd.DataFrame(100 * np.exp(noise.cumsum(axis=0)), dates, list("ABCD"))
    rising.to_csv(tmp_path / "rising.csv")
    options = ("--optimizer", "max-sharpe", "--max-weight", 1, "--config", quick)
    result = run("weights", tmp_path / "rising.csv", "--json", *options)
    assert result.exit_code == 0, result.stderr
    table = pd.DataFrame(json.loads(result.stdout)["weights"]).set_index("ticker")
    table = table.reindex(rising.columns)
    covariance = LedoitWolf().fit(rising.pct_change().iloc[1:].to_numpy()).covariance_

    def ratio(w):
        return w @ table["expected_return"] / np.sqrt(w @ covariance @ w)

    others = np.random.default_rng(0).dirichlet(np.full(4, 0.7), 2000)
    assert ratio(table["weight"].to_numpy()) >= max(map(ratio, others)) - 1e-6


def test_mean_risk_maximises_its_utility(weigh, eight_tickers, covariance):
    _, table = weigh("--max-weight", 0.5, "--risk-aversion", 2)
    table = table.reindex(eight_tickers.columns)

    def utility(w):
        return w @ table["expected_return"] - 2 / 2 * 3 * w @ covariance @ w

    best = utility(table["weight"].to_numpy())
    random = np.random.default_rng(0).dirichlet(np.full(8, 0.5), 2000)
    others = random[random.max(axis=1) <= 0.5]
    assert len(others) > 500
    assert best >= max(map(utility, others)) - 1e-9


def test_holdings_in_shares_are_worth_their_last_close(weigh, eight_tickers, tmp_path):
    shares = pd.Series({eight_tickers.columns[0]: 10, eight_tickers.columns[3]: 5})
    shares.rename_axis("Ticker").rename("Shares").to_csv(tmp_path / "held.csv")
    content, table = weigh("--optimizer", "equal", "--max-weight", 1, "--current",
                           tmp_path / "held.csv")  # fmt: skip
    worth = shares * eight_tickers.iloc[-1][shares.index]
    held = (worth / worth.sum()).reindex(table.index).fillna(0)
    np.testing.assert_allclose(table["current"], held, atol=1e-12)
    np.testing.assert_allclose(table["trade"], 1 / 8 - held, atol=1e-12)
    # All that is bought and sold, at 10 basis points by default.
    assert content["facts"]["turnover"] == pytest.approx(np.abs(1 / 8 - held).sum())
    assert content["facts"]["cost"] == pytest.approx(0.001 * np.abs(1 / 8 - held).sum())


def test_a_few_missing_prices_leave_no_ticker_out(run, eight_tickers, quick, tmp_path):
    prices = eight_tickers.copy()
    n_rows = min(len(prices) - 1, 504)
    third = prices.columns[2]
    prices.iloc[-60, 0] = prices.iloc[-90, 1] = np.nan
    prices.iloc[-200 : -200 + n_rows // 10, 2] = np.nan  # 10%, which is too many
    prices.to_csv(tmp_path / "gaps.csv")
    result = run(
        "weights", tmp_path / "gaps.csv", "--config", quick, "--json",
        "--optimizer", "min-risk", "--max-weight", 1,
    )  # fmt: skip
    content = json.loads(result.stdout)
    assert content["left_out"] == [third]
    got = pd.DataFrame(content["weights"]).set_index("ticker")["weight"]
    others = prices.drop(columns=third)
    # Each gap removes two returns.
    returns = others.pct_change(fill_method=None).iloc[-n_rows:].dropna()
    assert len(returns) == n_rows - 4
    covariance = LedoitWolf().fit(returns.to_numpy()).covariance_
    best = minimize(
        lambda w: 1e4 * w @ covariance @ w,
        np.full(7, 1 / 7),
        bounds=[(0, 1)] * 7,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-12,
    )
    np.testing.assert_allclose(got.reindex(others.columns), best.x, atol=2e-3)


def test_high_costs_keep_the_holdings(weigh, eight_tickers, tmp_path):
    held = (
        pd.Series(0.125, eight_tickers.columns).rename_axis("symbol").rename("weight")
    )
    held.to_csv(tmp_path / "held.csv")
    options = ("--current", tmp_path / "held.csv", "--max-weight", 0.5, "--cost")
    assert weigh(*options, 1000)[0]["facts"]["turnover"] < 0.01
    assert weigh(*options, 0)[0]["facts"]["turnover"] > 0.05


def test_holdings_without_prices_are_sold_and_named(
    run, weigh, eight_tickers_csv, quick, tmp_path
):
    (tmp_path / "held.csv").write_text("ticker,value\nGONE,100\n")
    options = ("--optimizer", "equal", "--max-weight", 1)
    options += ("--current", tmp_path / "held.csv")
    content, table = weigh(*options)
    assert table.loc["GONE", ["weight", "current", "trade"]].tolist() == [0, 1, -1]
    assert content["sold_unseen"] == ["GONE"]
    shown = run("weights", eight_tickers_csv, "--config", quick, *options).stdout
    assert "too few prices to measure risk: GONE" in " ".join(shown.split())


def test_no_weights_are_made_where_a_check_fails(run, quick, tmp_path):
    noise = np.random.default_rng(0).normal(-0.01, 0.005, (300, 4))
    dates = pd.bdate_range("2020-01-01", periods=300, name="date")
    falling = pd.DataFrame(100 * np.exp(noise.cumsum(axis=0)), dates, list("ABCD"))
    falling.to_csv(tmp_path / "falling.csv")
    options = ("--optimizer", "max-sharpe", "--max-weight", 1, "--config", quick)
    result = run("weights", tmp_path / "falling.csv", *options)
    assert result.exit_code == 3
    assert "risk-free rate" in result.stdout
    assert "position" not in result.stdout
    content = json.loads(
        run("weights", tmp_path / "falling.csv", "--json", *options).stdout
    )
    assert content["weights"] == []


@pytest.mark.parametrize(
    ("holdings", "message"),
    [
        ("name,weight\nA,1\n", "must have a ticker column"),
        ("ticker,weight\nA,1\nA,1\n", "each ticker once"),
        ("ticker,weight\nA,-1\n", "an amount of 0 or more"),
        ("ticker,shares\nGONE,1\n", "Got shares of GONE"),
    ],
)
def test_holdings_that_cannot_be_read_are_refused(
    holdings, message, run, eight_tickers_csv, quick, tmp_path
):
    (tmp_path / "held.csv").write_text(holdings)
    options = ("--config", quick, "--current", tmp_path / "held.csv")
    result = run("weights", eight_tickers_csv, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_bounds_that_leave_money_over_are_refused(run, eight_tickers_csv, quick):
    result = run("weights", eight_tickers_csv, "--config", quick, "--max-weight", 0.1)
    assert result.exit_code == 2
    assert "must be at least 1/8 for 8 tickers" in result.stderr


def test_weights_are_written(run, eight_tickers_csv, quick, tmp_path):
    options = ("--config", quick, "--max-weight", 0.5, "--output")
    result = run("weights", eight_tickers_csv, *options, tmp_path / "weights.csv")
    assert result.exit_code == 0
    written = pd.read_csv(tmp_path / "weights.csv", index_col="ticker")
    assert written["weight"].sum() == pytest.approx(1, abs=1e-5)
    result = run("weights", eight_tickers_csv, *options, "-")
    assert result.stdout == (tmp_path / "weights.csv").read_text()


@pytest.mark.parametrize(
    ("name", "package", "read"),
    [
        ("weights.parquet", "pyarrow", pd.read_parquet),
        ("weights.xlsx", "openpyxl", pd.read_excel),
    ],
)
def test_weights_are_written_in_the_format_of_the_name(
    name, package, read, run, eight_tickers_csv, quick, tmp_path
):
    pytest.importorskip(package)
    options = ("--config", quick, "--max-weight", 0.5, "--optimizer", "equal")
    output = tmp_path / name
    assert (
        run("weights", eight_tickers_csv, *options, "--output", output).exit_code == 0
    )
    csv = run("weights", eight_tickers_csv, *options, "--output", "-").stdout
    expected = pd.read_csv(StringIO(csv))
    pd.testing.assert_frame_equal(read(output), expected, check_dtype=False, rtol=1e-6)


def test_an_unknown_optimizer_is_answered_with_the_known_ones(run, eight_tickers_csv):
    result = run("weights", eight_tickers_csv, "--optimizer", "best")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: `--optimizer` must be one of mean-risk, max-sharpe, min-risk, equal. "
        "Got 'best'. Choose one of these.\n"
    )
