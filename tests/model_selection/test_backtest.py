"""Backtests against a ledger of shares and cash, closed forms and skfolio."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.stats import linregress

from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.model_selection import BacktestDisplay, TradingCosts, backtest

DATES = pd.bdate_range("2020-01-01", periods=60, name="date")


def slow_ledger(closes, wanted, decided, delay, rates, delisting=0.0, stop=None):
    """Keep the books in shares and cash, ticker by ticker."""
    n_dates, n_tickers = closes.shape
    shares, cash, wealths = [0.0] * n_tickers, 1.0, []
    last = [np.nan] * n_tickers
    ends = [
        max((t for t in range(n_dates) if np.isfinite(closes[t, i])), default=-1)
        for i in range(n_tickers)
    ]
    for t in range(n_dates if stop is None else stop):
        for i in range(n_tickers):
            if np.isfinite(closes[t, i]):
                last[i] = closes[t, i]
            if ends[i] == t - 1 and ends[i] < n_dates - 10 and shares[i]:
                cash += shares[i] * last[i] * (1 + delisting)
                shares[i] = 0.0
        wealth = cash + sum(s * p for s, p in zip(shares, last, strict=True) if s)
        if t - delay in decided:
            target = wanted[t - delay]
            for i in range(n_tickers):
                if np.isfinite(closes[t, i]):
                    bought = target[i] * wealth / closes[t, i] - shares[i]
                    shares[i] += bought
                    cash -= bought * closes[t, i]
                    cash -= abs(bought) * closes[t, i] * rates[i]
        wealths.append(
            cash + sum(s * p for s, p in zip(shares, last, strict=True) if s)
        )
    return np.array(wealths), np.array(shares), cash


@st.composite
def markets(draw):
    seed = draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    n_dates, n_tickers = draw(st.integers(6, 20)), draw(st.integers(3, 5))
    closes = np.exp(random.normal(0, 0.05, (n_dates, n_tickers)).cumsum(0))
    closes[random.random(closes.shape) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    if draw(st.booleans()):
        closes[n_dates // 2 :, 0] = np.nan
    weights = random.normal(0, 0.4, closes.shape)
    weights[random.random(closes.shape) < 0.2] = np.nan
    return closes, weights


@settings(max_examples=60)
@given(
    markets(),
    st.integers(0, 2),
    st.integers(1, 4),
    st.floats(0, 50),
    st.sampled_from([0.0, -0.3]),
)
def test_wealth_is_that_of_a_slow_ledger(market, delay, step, bps, delisting):
    closes, weights = market
    index = DATES[: len(closes)]
    names = list("ABCDE")[: closes.shape[1]]
    prices = pd.DataFrame(closes, index, names)
    forecasts = pd.DataFrame(weights, index, names)
    rates = np.linspace(0, bps, len(names))
    result = backtest(
        forecasts,
        prices,
        weights=lambda forecast, past, held: forecast.fillna(0.0),
        delay=delay,
        rebalance_every=step,
        costs=TradingCosts(half_spread=pd.Series(rates, names)),
        delisting_return=delisting,
    )
    decided = set(range(0, len(closes), step))
    wealth, shares, cash = slow_ledger(
        closes, np.nan_to_num(weights), decided, delay, rates / 1e4, delisting
    )
    if wealth.min() < 0.05:
        return  # ruin is tested by itself
    wealth = wealth[delay:]
    found = result.wealth["net"].to_numpy()
    np.testing.assert_allclose(found, wealth, rtol=1e-9)
    assert len(found) == len(wealth)
    # Positions and cash are all there is.
    values = shares * prices.ffill().iloc[-1].to_numpy()
    np.testing.assert_allclose(
        result.weights.iloc[-1] * wealth[-1],
        np.where(shares == 0, 0, values),
        atol=1e-9,
    )
    assert 1 - result.weights.iloc[-1].sum() == pytest.approx(cash / wealth[-1])


@pytest.fixture(scope="module")
def market():
    """Prices and volumes of 10 tickers, and forecasts of the last 200 dates."""
    panel = make_panel(300, 10, random_state=0)
    random = np.random.default_rng(0)
    volumes = pd.DataFrame(
        random.uniform(1e4, 1e5, panel.shape), panel.index, panel.columns
    )
    both = pd.concat({"close": panel, "volume": volumes}, axis=1)
    forecasts = -panel.pct_change(5).iloc[100:]
    return panel, both, forecasts


@pytest.fixture(scope="module")
def result(market):
    return backtest(market[2], market[0], rebalance_every=5, costs=10)


def test_returns_add_up(result):
    returns = result.returns
    np.testing.assert_allclose(returns["gross"] - returns["cost"], returns["net"])
    held = result.weights.shift(1).fillna(0.0)
    earned = (held * result.asset_returns.fillna(0.0)).sum(axis=1)
    np.testing.assert_allclose(returns["gross"], earned, atol=1e-12)
    traded = result.turnover.reindex(returns.index).fillna(0.0)
    np.testing.assert_allclose(
        returns["cost"], 0.001 * traded * (1 + returns["gross"]), atol=1e-12
    )


def test_it_trades_the_day_after_it_decides(market, result):
    panel, _, forecasts = market
    decided = forecasts.index[::5]
    expected = panel.index[panel.index.get_indexer(decided) + 1]
    assert result.trades.index.equals(expected[expected.isin(panel.index)])
    first = result.weights.iloc[0]
    ranks = forecasts.iloc[0].rank() - 5.5
    np.testing.assert_allclose(
        first * (1 - 0.001 * 2), 2 * ranks / ranks.abs().sum(), rtol=1e-12
    )


def test_the_future_changes_no_trade(market, result):
    panel, _, forecasts = market
    changed = panel.copy()
    changed.iloc[201:] *= np.linspace(1.5, 0.5, 10)
    other = backtest(forecasts, changed, rebalance_every=5, costs=10)
    date = panel.index[200]
    pd.testing.assert_frame_equal(other.returns.loc[:date], result.returns.loc[:date])
    pd.testing.assert_frame_equal(other.trades.loc[:date], result.trades.loc[:date])


@pytest.mark.parametrize(
    ("rule", "long", "short"),
    [("long_short", 1, -1), ("long_only", 1, 0), ("quantile", 1, -1), ("equal", 1, 0)],
)
def test_rules_take_the_sides_that_they_are_named_after(market, rule, long, short):
    panel, _, forecasts = market
    forecasts = forecasts.copy()
    forecasts["T003"] = np.nan
    result = backtest(forecasts, panel, weights=rule, costs=0, rebalance_every=1)
    weights = result.weights.iloc[7]
    assert weights[weights > 0].sum() == pytest.approx(long)
    assert weights[weights < 0].sum() == pytest.approx(short)
    assert (result.weights["T003"] == 0).all()
    if rule != "equal":
        forecast = forecasts.iloc[7]
        assert weights[forecast.idxmax()] == weights.max() > 0
        assert weights[forecast.idxmin()] == min(weights.min(), 0)
    if rule == "quantile":
        assert (weights != 0).sum() == 4


def test_functions_see_what_was_known(market):
    panel, _, forecasts = market
    seen = []

    def rule(scores, past, held):
        seen.append((scores, past, held))
        return pd.Series({"T001": 0.5, "T002": 0.25})

    result = backtest(forecasts, panel, weights=rule, rebalance_every=20, lookback=30)
    assert len(seen) == 10
    scores, past, held = seen[3]
    date = forecasts.index[60]
    pd.testing.assert_series_equal(scores, forecasts.loc[date])
    returns = panel.pct_change().loc[:date].iloc[-30:]
    np.testing.assert_allclose(past, returns)
    assert past.index[-1] == date
    np.testing.assert_allclose(held, result.weights.loc[date])
    np.testing.assert_allclose(seen[0][2], 0.0)


@pytest.mark.parametrize(
    "found",
    [[1.0], pd.Series({"X": 1.0}), [np.nan] * 10, pd.Series({"T001": np.nan})],
)
def test_what_is_no_weight_is_refused(market, found):
    with pytest.raises(PanelError, match="`weights` must return"):
        backtest(market[2], market[0], weights=lambda *_: found)


def test_impact_is_the_square_root_of_the_share_of_the_volume(market):
    panel, both, forecasts = market
    costs = TradingCosts(commission=1, half_spread=2, impact=0.8)
    result = backtest(
        forecasts,
        both,
        weights=lambda *_: pd.Series({"T004": 0.6}),
        costs=costs,
        rebalance_every=1000,
        capital=3e7,
    )
    row = panel.index.get_loc(result.trades.index[0])
    values = both["close"]["T004"] * both["volume"]["T004"]
    usual = values.iloc[row - 62 : row + 1].mean()
    moves = np.diff(np.log(panel["T004"].to_numpy()[row - 63 : row + 1]))
    share = (0.6 * 3e7 / usual) ** 0.5
    expected = 0.6 * (3e-4 + 0.8 * moves.std(ddof=1) * share)
    assert result.returns["cost"].iloc[0] == pytest.approx(expected)
    assert result.returns["cost"].sum() == pytest.approx(expected)
    with pytest.raises(PanelError, match="`prices` must have volumes"):
        backtest(forecasts, panel, costs=costs)


def test_at_its_capacity_a_portfolio_earns_nothing(market):
    panel, both, _ = market
    forecasts = panel.pct_change(5).shift(-6).iloc[100:290]
    costs = TradingCosts(commission=5, impact=1)
    options = {"costs": costs, "rebalance_every": 5}
    free = backtest(forecasts, both, **options)
    capital = free.measures["capacity"]
    full = backtest(forecasts, both, capital=capital, **options)
    left = full.returns[["gross", "net"]].sum()
    assert abs(left["net"]) < 0.05 * left["gross"]
    assert np.isnan(backtest(forecasts, panel).measures["capacity"])
    poor = backtest(-forecasts, both, **options)
    assert poor.measures["capacity"] == 0


def test_measures_are_those_of_scipy_and_of_loops(result):
    net, gross = result.returns["net"], result.returns["gross"]
    measures = result.measures
    fit = linregress(result.asset_returns.mean(axis=1), net)
    assert measures["beta"] == pytest.approx(fit.slope)
    assert measures["alpha"] == pytest.approx(fit.intercept * 252)
    assert measures["correlation"] == pytest.approx(fit.rvalue)
    wealth, peak, worst = 1.0, 1.0, 0.0
    for value in net:
        wealth *= 1 + value
        peak = max(peak, wealth)
        worst = max(worst, 1 - wealth / peak)
    assert measures["max_drawdown"] == pytest.approx(worst)
    years = len(net) / 252
    assert measures["return_net"] == pytest.approx(wealth ** (1 / years) - 1)
    assert measures["sharpe_gross"] == pytest.approx(
        gross.mean() / gross.std(ddof=1) * 252**0.5
    )
    assert measures["volatility"] == pytest.approx(net.std(ddof=1) * 252**0.5)
    traded = result.trades.abs().to_numpy().sum()
    assert measures["turnover"] == pytest.approx(traded / len(result.trades))
    assert measures["cost"] == pytest.approx(result.returns["cost"].sum() / years)
    assert measures["break_even_bps"] == pytest.approx(1e4 * gross.sum() / traded)
    assert measures["exposure_gross"] == pytest.approx(
        result.weights.abs().sum(axis=1).mean()
    )
    assert "Sharpe ratio" in repr(result)
    assert "<table" in result._repr_html_()


def test_months_compound_their_days(result):
    table = result.monthly()
    net = result.returns["net"]
    for year in table.index:
        for month in range(1, 13):
            days = net[(net.index.year == year) & (net.index.month == month)]
            if len(days):
                assert table.loc[year, month] == pytest.approx(np.prod(1 + days) - 1)
            else:
                assert np.isnan(table.loc[year, month])


def test_groups_hold_their_tickers_weights(result):
    groups = {
        f"T{number:03}": "even" if number % 2 == 0 else "odd" for number in range(9)
    }
    table = result.exposures(groups)
    assert list(table) == ["even", "none", "odd"]
    np.testing.assert_allclose(table["none"], result.weights["T009"])
    np.testing.assert_allclose(
        table.sum(axis=1), result.weights.sum(axis=1), atol=1e-12
    )


def test_prices_without_dates_have_no_months_and_no_year(market):
    panel, _, forecasts = market
    numbered = panel.reset_index(drop=True)
    result = backtest(forecasts.set_axis(numbered.index[100:]), numbered)
    assert len(result.monthly()) == 0


def test_a_ruined_portfolio_stays_ruined():
    closes = pd.DataFrame({"A": [1, 1, 1, 4.0, 9, 1, 1], "B": [1.0] * 7}, DATES[:7])
    result = backtest(
        closes * 0 + 1, closes, weights=lambda *_: [-1.0, 0.0], costs=0, delay=0
    )
    assert result.returns["net"].iloc[3] == -1
    assert (result.wealth["net"].iloc[3:] == 0).all()
    assert (result.weights.iloc[3:] == 0).all(axis=None)


def ended():
    """Two tickers whose prices end after three rows, and one that stays."""
    closes = pd.DataFrame(1.0, DATES[:13], ["A", "B", "C"])
    closes.iloc[3:, :2] = np.nan
    return closes


def test_each_ticker_is_delisted_at_its_own_return():
    closes = ended()
    options = {
        "weights": lambda *_: [0.5, 0.25, 0.25],
        "rebalance_every": 99,
        "costs": 0,
    }
    final = pd.Series({"A": -0.6, "B": 0.0})
    result = backtest(closes * 0 + 1, closes, **options, delisting_return=final)
    np.testing.assert_allclose(result.returns["net"].iloc[:4], [0, 0, -0.3, 0])
    assert result.weights.iloc[-1].tolist() == [0, 0, pytest.approx(0.25 / 0.7)]
    with pytest.warns(PanelWarning, match=r"1 ticker .* last price: B\. Pass"):
        other = backtest(closes * 0 + 1, closes, **options, delisting_return=final[:1])
    pd.testing.assert_frame_equal(other.returns, result.returns)
    # Who is quiet for nine rows may be back tomorrow.
    quiet = closes.iloc[:12]
    result = backtest(quiet * 0 + 1, quiet, **options, delisting_return=-1)
    assert (result.returns["net"] == 0).all()
    with pytest.raises(ValueError, match="`delisting_return` must be a simple"):
        backtest(closes, closes, delisting_return=-30)


def test_who_is_not_held_to_the_end_needs_no_final_return():
    closes = ended()
    backtest(closes * 0 + 1, closes, weights=lambda *_: [0.0, 0.0, 1.0], costs=0)


def test_the_horizon_of_the_forecasts_is_the_time_between_trades(market):
    forecasts = market[2].copy()
    forecasts.attrs["horizon"] = 7
    assert backtest(forecasts, market[0]).rebalance_every == 7
    assert backtest(market[2], market[0]).rebalance_every == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weights": "best"}, ValueError, "`weights` must be one of 'long_short'"),
        ({"delay": -1}, ValueError, "`delay` must be an int of at least 0"),
        ({"costs": -1}, ValueError, "`costs` must be at least 0"),
        ({"delay": 1000}, PanelError, "must hold a row to trade at"),
    ],
)
def test_errors_say_what_to_do(market, change, error, message):
    with pytest.raises(error, match=message):
        backtest(market[2], market[0], **change)


def test_forecasts_of_other_dates_and_tickers_are_refused(market):
    panel, _, forecasts = market
    with pytest.raises(PanelError, match="tickers such as X"):
        backtest(forecasts.rename(columns={"T001": "X"}), panel)
    with pytest.raises(PanelError, match="other dates"):
        backtest(forecasts, panel.iloc[:150])
    with pytest.raises(PanelError, match="of one horizon"):
        backtest(pd.concat({1: forecasts}, axis=1), panel)


def test_skfolio_measures_the_same_portfolio(result):
    pytest.importorskip("skfolio")
    portfolio = result.to_skfolio()
    np.testing.assert_allclose(portfolio.returns, result.returns["net"])
    assert len(portfolio) == len(result.trades)
    year = result.periods_per_year
    assert portfolio.annualized_sharpe_ratio == pytest.approx(
        result.measures["sharpe_net"]
    )
    assert portfolio.annualized_standard_deviation == pytest.approx(
        result.measures["volatility"]
    )
    assert portfolio.mean * year == pytest.approx(result.returns["net"].mean() * year)
    portfolio.compounded = True
    assert portfolio.max_drawdown == pytest.approx(result.measures["max_drawdown"])
    assert portfolio.composition.shape[1] == len(result.trades)


def test_an_optimizer_is_given_the_forecasts(market):
    skfolio = pytest.importorskip("skfolio.optimization")
    panel, _, forecasts = market
    forecasts = forecasts.copy()
    forecasts["T005"] = np.nan
    forecasts.attrs["horizon"] = 5
    optimizer = skfolio.MeanRisk(
        skfolio.ObjectiveFunction.MAXIMIZE_RETURN, transaction_costs=0.0
    )
    result = backtest(
        forecasts, panel, weights=optimizer, rebalance_every=40, lookback=60, costs=0
    )
    # The highest expected return takes everything.
    for date, weights in zip(forecasts.index[::40], result.trades.index, strict=False):
        assert result.weights.loc[weights].idxmax() == forecasts.loc[date].idxmax()
    assert (result.weights["T005"] == 0).all()
    equal = backtest(
        forecasts, panel, weights=skfolio.EqualWeighted(), rebalance_every=40
    )
    rule = backtest(forecasts, panel, weights="equal", rebalance_every=40)
    pd.testing.assert_frame_equal(equal.returns, rule.returns)


def test_a_walk_is_backtested_at_its_horizons(quiet_walk, prices):
    panel = pd.concat({"close": prices, "volume": prices * 0 + 1e6}, axis=1)
    walk = quiet_walk(panel=panel, horizon=(1, 3))
    result = walk.backtest(3, costs=3)
    expected = backtest(
        walk.forecasts[3], panel, rebalance_every=3, costs=3, name=walk.name
    )
    pd.testing.assert_frame_equal(result.returns, expected.returns)
    assert result.rebalance_every == 3
    assert result.measures["capacity"] >= 0
    assert result.delay == 1
    assert replace(walk, delay=2).backtest(3).delay == 2
    rival = walk.backtest(1, benchmark="reversal")
    expected = backtest(walk.benchmarks["reversal"][1], panel)
    pd.testing.assert_frame_equal(rival.returns, expected.returns)
    assert rival.name == "reversal"
    with pytest.raises(ValueError, match="`benchmark` must be one of"):
        walk.backtest(benchmark="best")


@pytest.mark.parametrize("kind", ["wealth", "drawdown", "months"])
def test_pictures_show_what_was_earned(result, kind):
    ax = Figure().subplots()
    display = BacktestDisplay(result).plot(ax, kind=kind)
    assert display.figure_ is ax.figure
    if kind == "wealth":
        [net, gross, market] = [line.get_ydata() for line in ax.lines[:3]]
        np.testing.assert_allclose(net, 100 * (result.wealth["net"] - 1))
        np.testing.assert_allclose(gross, 100 * (result.wealth["gross"] - 1))
        assert market[-1] == pytest.approx(100 * ((1 + result.market).prod() - 1))
    if kind == "months":
        texts = [float(text.get_text()) for text in ax.texts]
        months = 100 * result.monthly().to_numpy().ravel()
        np.testing.assert_allclose(texts, months[np.isfinite(months)], atol=0.051)


def test_there_is_no_other_picture(result):
    with pytest.raises(ValueError, match="`kind` must be one of 'wealth'"):
        BacktestDisplay(result).plot(Figure().subplots(), kind="pie")
