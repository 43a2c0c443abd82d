"""Parts of the skill, calibration and factors, by slow loops and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, rankdata, spearmanr

from skbatch import BatchLinearForecaster
from skbatch._kernels.attribution import calibration_slope, rolling_beta
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError
from skbatch.metrics import out_of_sample_r2

from .conftest import make_model


@pytest.fixture(scope="module")
def panel():
    closes = make_panel(420, 9, signal="linear", strength=0.3, random_state=1)
    closes.iloc[:230, 3] = np.nan
    volumes = closes * 0 + np.arange(1, 10) * 1e5
    return pd.concat({"close": closes, "volume": volumes}, axis=1)


@pytest.fixture(scope="module")
def result(quiet_walk, panel):
    model = make_model(BatchLinearForecaster())
    return quiet_walk(model, panel, horizon=(1, 3), min_train=200)


def tables(result, horizon=3):
    return result.returns[horizon], result.forecasts[horizon]


def slow_rank_ic(returns, forecasts, member):
    """Rank within the members of each date."""
    values = []
    for t in range(len(returns)):
        use = member[t] & np.isfinite(returns[t]) & np.isfinite(forecasts[t])
        if use.sum() >= 3:
            values.append(spearmanr(returns[t][use], forecasts[t][use]).statistic)
    return np.mean(values), len(values)


def check(table, result, members):
    returns, forecasts = tables(result)
    assert list(table.index) == list(members)
    for name, member in members.items():
        ic, n_dates = slow_rank_ic(returns.to_numpy(), forecasts.to_numpy(), member)
        assert table.loc[name, "rank_ic"] == pytest.approx(ic)
        assert table.loc[name, "n_dates"] == n_dates
        r2 = out_of_sample_r2(returns.where(member), forecasts.where(member))
        assert table.loc[name, "r2_zero"] == pytest.approx(r2)


def test_groups_are_ranked_within(result):
    groups = {f"T{n:03}": "one" if n < 5 else "two" for n in range(8)}
    shape = result.forecasts[3].shape
    numbers = np.tile(np.arange(9), (shape[0], 1))
    members = {"one": numbers < 5, "two": (numbers >= 5) & (numbers < 8)}
    check(result.skill_by(groups, 3), result, members)
    check(result.skill_by(pd.Series(groups), 3), result, members)


@pytest.mark.parametrize("by", ["volatility", "size"])
def test_terciles_are_those_of_the_rows_before(result, panel, by):
    closes = panel["close"].to_numpy()
    dates = panel.index.get_indexer(result.forecasts.index)
    parts = {name: [] for name in ("low", "middle", "high")}
    for t in dates:
        window = closes[t - 62 : t + 1]
        moves = np.log(closes[t - 62 : t + 1] / closes[t - 63 : t])
        if by == "volatility":
            known = np.isfinite(moves).sum(axis=0) >= 31
            values = [
                np.nanstd(m[np.isfinite(m)], ddof=1) if k else np.nan
                for m, k in zip(moves.T, known, strict=True)
            ]
        else:
            known = np.isfinite(window).sum(axis=0) >= 31
            traded = window * np.arange(1, 10) * 1e5
            values = [
                np.nanmean(v) if k else np.nan
                for v, k in zip(traded.T, known, strict=True)
            ]
        values = np.array(values)
        ranks = np.full(9, np.nan)
        use = np.isfinite(values)
        ranks[use] = rankdata(values[use]) / use.sum()
        parts["low"].append(ranks <= 1 / 3)
        parts["middle"].append((ranks > 1 / 3) & (ranks <= 2 / 3))
        parts["high"].append(ranks > 2 / 3)
    members = {name: np.array(rows) for name, rows in parts.items()}
    check(result.skill_by(by, 3), result, members)


def test_markets_are_those_of_the_rows_before(result, panel):
    moves = np.log(panel["close"] / panel["close"].shift(1)).mean(axis=1).to_numpy()
    dates = panel.index.get_indexer(result.forecasts.index)
    past = np.array([moves[t - 62 : t + 1].sum() for t in dates])
    spread = np.array([moves[t - 62 : t + 1].std(ddof=1) for t in dates])
    volatile = spread > np.median(spread)
    members = {
        "falling, calm": (past <= 0) & ~volatile,
        "falling, volatile": (past <= 0) & volatile,
        "rising, calm": (past > 0) & ~volatile,
        "rising, volatile": (past > 0) & volatile,
    }
    members = {k: np.tile(v[:, None], (1, 9)) for k, v in members.items() if v.any()}
    check(result.skill_by("market", 3), result, members)


def test_tickers_are_scored_over_time(result):
    table = result.skill_by("ticker", 3)
    returns, forecasts = tables(result)
    for ticker in ("T001", "T003"):
        r, f = returns[ticker].to_numpy(), forecasts[ticker].to_numpy()
        use = np.isfinite(r) & np.isfinite(f)
        r, f = r[use], f[use]
        row = table.loc[ticker]
        assert row["correlation"] == pytest.approx(np.corrcoef(r, f)[0, 1])
        assert row["r2_zero"] == pytest.approx(1 - ((r - f) ** 2).sum() / (r**2).sum())
        hits = (np.sign(r) == np.sign(f))[r != 0]
        assert row["hit_rate"] == pytest.approx(hits.mean())
        assert row["bias"] == pytest.approx((f - r).mean())
        assert row["n_dates"] == use.sum()


def test_what_cannot_be_taken_apart_is_refused(result, quiet_walk, linear_model):
    with pytest.raises(ValueError, match="`by` must be 'year', 'market'"):
        result.skill_by("sector")
    with pytest.raises(ValueError, match="`by` must name tickers of the forecasts"):
        result.skill_by({"AAPL": "tech"})
    closes_only = quiet_walk(linear_model, benchmarks={})
    with pytest.raises(PanelError, match="`prices` must have volumes"):
        closes_only.skill_by("size")


def test_calibration_sorts_all_forecasts_into_bins(result):
    table = result.calibration(3, n_bins=4)
    returns, forecasts = tables(result)
    r, f = returns.to_numpy().ravel(), forecasts.to_numpy().ravel()
    use = np.isfinite(r) & np.isfinite(f)
    r, f = r[use], f[use]
    assert table["n_forecasts"].sum() == len(f)
    assert np.ptp(table["n_forecasts"]) <= 1
    order = np.argsort(f)
    size = table["n_forecasts"].iloc[0]
    assert table["forecast"].iloc[0] == pytest.approx(f[order[:size]].mean())
    assert table["return"].iloc[0] == pytest.approx(r[order[:size]].mean())
    slopes = table.attrs["slopes"]
    assert slopes.loc["overall", "slope"] == pytest.approx(linregress(f, r).slope)
    r, f = returns.where(forecasts.notna()), forecasts.where(returns.notna())
    r, f = (t.sub(t.mean(axis=1), axis=0).to_numpy().ravel() for t in (r, f))
    use = np.isfinite(r) & np.isfinite(f)
    expected = (r[use] @ f[use]) / (f[use] @ f[use])
    assert slopes.loc["within dates", "slope"] == pytest.approx(expected)
    middle = (slopes["lower"] + slopes["upper"]) / 2
    pd.testing.assert_series_equal(middle, slopes["slope"], check_names=False)


def test_the_error_of_the_slope_is_that_of_clustered_dates():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 6))
    y = 0.5 * x + random.normal(size=(300, 1)) * np.abs(x)
    slope, error, _ = calibration_slope(y, x, 0)
    # White's sandwich with one cluster per date.
    residual = y - slope * x
    meat = sum(float(x[t] @ residual[t]) ** 2 for t in range(300))
    assert slope == pytest.approx((x * y).sum() / (x**2).sum())
    assert error == pytest.approx(meat**0.5 / (x**2).sum(), rel=1e-6)
    slopes = []
    for _ in range(300):
        x = random.normal(size=(100, 4))
        y = x + random.normal(size=(100, 1))
        slopes.append(calibration_slope(y, x, 5))
    inside = [abs(s - 1) < c * e for s, e, c in slopes]
    assert 0.9 < np.mean(inside) <= 0.99


def slow_residual_ic(result, factors):
    returns, forecasts = (t.to_numpy() for t in tables(result))
    values = []
    for t in range(len(returns)):
        use = np.isfinite(forecasts[t])
        for factor in factors:
            use &= np.isfinite(factor[t])
        if use.sum() < 3 + len(factors):
            continue
        X = np.column_stack(
            [np.ones(use.sum()), *(rankdata(f[t][use]) for f in factors)]
        )
        y = rankdata(forecasts[t][use])
        left = y - X @ np.linalg.pinv(X) @ y
        both = np.isfinite(returns[t][use])
        if both.sum() >= 3 and np.abs(left).max() > 1e-8:
            values.append(
                spearmanr(returns[t][use][both], left[both].round(9)).statistic
            )
    return np.mean(values), len(values)


def test_factors_explain_what_a_regression_of_ranks_does(result, panel):
    table = result.factor_skill(3)
    assert list(table.index) == ["momentum", "reversal", "volatility", "beta", "all"]
    closes = panel["close"]
    reversal = (1 - closes / closes.shift(1)).reindex(result.forecasts.index).to_numpy()
    moves = np.log(closes / closes.shift(1))
    spread = moves.rolling(63).std().reindex(result.forecasts.index).to_numpy()
    forecasts = result.forecasts[3].to_numpy()
    shared = [
        spearmanr(f[use], v[use]).statistic
        for f, v in zip(forecasts, reversal, strict=True)
        for use in [np.isfinite(f) & np.isfinite(v)]
    ]
    assert table.loc["reversal", "correlation"] == pytest.approx(np.mean(shared))
    ic, n_dates = slow_rank_ic(
        result.returns[3].to_numpy(), reversal, np.ones(forecasts.shape, bool)
    )
    assert table.loc["reversal", "factor_ic"] == pytest.approx(ic)
    ic, n_dates = slow_residual_ic(result, [reversal])
    assert table.loc["reversal", "residual_ic"] == pytest.approx(ic, abs=2e-3)
    assert table.loc["reversal", "n_dates"] == n_dates
    full = np.isfinite(spread)
    assert full[:, :3].all()


def test_a_forecast_that_is_a_factor_has_nothing_beyond_it(result):
    from dataclasses import replace

    same = {h: result.benchmarks["reversal"][h] for h in (1, 3)}
    copied = replace(result, forecasts=pd.concat(same, axis=1))
    row = copied.factor_skill(3).loc["reversal"]
    assert row["correlation"] == pytest.approx(1)
    assert row["n_dates"] == 0
    assert np.isnan(row["residual_ic"])


def test_beta_is_that_of_a_regression():
    random = np.random.default_rng(0)
    market = random.normal(size=80)
    returns = np.outer(market, [0.5, 1.5]) + random.normal(size=(80, 2))
    returns[10:30, 1] = np.nan
    beta = rolling_beta(returns, market, 40)
    for t, ticker in ((79, 0), (79, 1), (45, 1)):
        rows = slice(t - 39, t + 1)
        use = np.isfinite(returns[rows, ticker])
        expected = linregress(market[rows][use], returns[rows, ticker][use]).slope
        assert beta[t, ticker] == pytest.approx(expected)
    assert np.isnan(beta[10]).all()
    assert np.isnan(beta[32, 1])
