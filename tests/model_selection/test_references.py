"""Numbers of the report beside those of statsmodels, alphalens and empyrical."""

import empyrical
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import pearsonr, spearmanr
from scipy.stats import t as student_t
from sklearn.metrics import mean_absolute_error
from statsmodels.regression.linear_model import OLS

from skbatch.datasets import make_panel
from skbatch.metrics import mean_inference, quantile_returns
from skbatch.model_selection import WalkForwardResult

STEP = 5
BINS = 5


@pytest.fixture(scope="module")
def result():
    """Forecasts with some skill, of as many tickers as fill all bins alike."""
    closes = make_panel(330, 30, random_state=0)
    random = np.random.default_rng(0)
    # Sixty of the dates belong to the year that follows.
    year = closes.index.year
    start = int(np.argmax(year > year[0])) - 60
    rows = closes.index[start : start + 120]
    returns = (closes.shift(-STEP) / closes - 1).loc[rows]
    noise = pd.DataFrame(random.normal(0, 0.05, returns.shape), rows, closes.columns)
    forecasts = 0.05 * returns + 0.1 * noise + 0.002
    mean = closes.pct_change(STEP).expanding().mean().loc[rows]
    return WalkForwardResult(
        name="mine",
        horizon=STEP,
        forecasts=forecasts,
        benchmarks={"historical mean": mean},
        closes=closes.iloc[start : start + 120 + STEP],
        prices=closes,
        provenance=pd.DataFrame("mine", rows, closes.columns),
        refits=pd.DataFrame(index=rows[:1]),
        reasons=pd.DataFrame(),
        n_quantiles=BINS,
    )


def correlations(result, table, method):
    pairs = zip(result.returns.to_numpy(), table.to_numpy(), strict=True)
    return pd.Series([method(*pair).statistic for pair in pairs], table.index)


def spreads(result, table):
    """Mean return of those above the 80% quantile less that of those below the 20%."""
    low, high = (table.quantile(q, axis=1) for q in (1 / BINS, 1 - 1 / BINS))
    above = result.returns.where(table.gt(high, axis=0)).mean(axis=1)
    return above - result.returns.where(table.lt(low, axis=0)).mean(axis=1)


@pytest.fixture(scope="module")
def series(result):
    """Scores of each date, by forecaster."""
    return {
        name: pd.DataFrame(
            {
                "rank_ic": correlations(result, table, spearmanr),
                "ic": correlations(result, table, pearsonr),
                "spread": spreads(result, table),
            }
        )
        for name, table in result.named_forecasts()
        if name in ("mine", "historical mean")
    }


def newey_west(series, horizon=STEP):
    """The fit of a constant by statsmodels, with the lags that skbatch documents."""
    lags = max(int(np.ceil(1.3 * len(series) ** 0.5)), 2 * (horizon - 1))
    kernel = {"maxlags": lags, "use_correction": False}
    fit = OLS(series.to_numpy(), np.ones(len(series))).fit(
        cov_type="HAC", cov_kwds=kernel
    )
    # Kiefer and Vogelsang (2005), table 1: the Bartlett kernel at 5%, both sides.
    share = (lags + 1) / len(series)
    critical = np.polyval([-0.5324, 0.4160, 2.9694, 1.9600], share)
    return fit, critical


def above(freedom, critical):
    return student_t.ppf(0.975, freedom) - critical


def test_tests_of_the_scorecard_are_those_of_statsmodels(result, series):
    for name, scores in series.items():
        card = result.scorecard.loc[name]
        for key, values in scores.items():
            fit, critical = newey_west(values)
            assert card[key] == pytest.approx(fit.params[0])
            assert card[f"{key}_t"] == pytest.approx(fit.tvalues[0])
            assert card["critical_t"] == pytest.approx(critical)
        for key in ("rank_ic", "ic"):
            ratio = scores[key].mean() / scores[key].std()
            assert card[f"{key}_ir"] == pytest.approx(ratio)
        positive = (scores["rank_ic"] > 0).mean()
        assert card["rank_ic_positive"] == pytest.approx(positive)
    for name, table in result.named_forecasts():
        card = result.scorecard.loc[name]
        error = mean_absolute_error(result.returns, table)
        assert card["mae"] == pytest.approx(error)
        if name != "zero":
            saved = result.returns**2 - (result.returns - table) ** 2
            fit, _ = newey_west(saved.mean(axis=1))
            assert card["r2_zero_t"] == pytest.approx(fit.tvalues[0])


def test_differences_are_tested_as_by_statsmodels(result, series):
    tests = result.paired_tests()
    mean = result.benchmarks["historical mean"]
    saved = (result.returns - mean) ** 2 - (result.returns - result.forecasts) ** 2
    better = series["mine"] - series["historical mean"]
    against = {
        ("zero", "rank_ic"): series["mine"]["rank_ic"],
        ("historical mean", "rank_ic"): better["rank_ic"],
        ("historical mean", "spread"): better["spread"],
        ("historical mean", "squared_error"): saved.mean(axis=1),
    }
    for key, values in against.items():
        fit, critical = newey_west(values)
        test = tests.loc[key]
        assert test["difference"] == pytest.approx(fit.params[0])
        assert test["t_statistic"] == pytest.approx(fit.tvalues[0])
        margin = critical * fit.bse[0]
        assert test["lower"] == pytest.approx(fit.params[0] - margin)
        assert test["upper"] == pytest.approx(fit.params[0] + margin)
        # Student's t of which 2.5% are above the critical value has this p-value.
        freedom = brentq(above, 2, 1e6, args=(critical,))
        p_value = 2 * student_t.sf(abs(fit.tvalues[0]), freedom)
        assert test["p_value"] == pytest.approx(p_value)


def test_parts_and_delays_are_tested_as_by_statsmodels(result, series):
    scores = series["mine"]
    years = result.skill_by("year")
    assert len(years) == 2
    for year, row in years.iterrows():
        part = scores[scores.index.year == year]
        fit, _ = newey_west(part["rank_ic"])
        assert row["rank_ic"] == pytest.approx(fit.params[0])
        assert row["rank_ic_t"] == pytest.approx(fit.tvalues[0])
        assert row["spread"] == pytest.approx(part["spread"].mean())
    fit, _ = newey_west(scores["rank_ic"])
    row = result.by_delay().loc[("mine", 0)]
    assert row["rank_ic_error"] == pytest.approx(fit.bse[0])
    reversal = (1 - result.prices / result.prices.shift(1)).loc[scores.index]
    fit, _ = newey_west(correlations(result, reversal, spearmanr))
    row = result.factor_skill().loc["reversal"]
    assert row["factor_ic_t"] == pytest.approx(fit.tvalues[0])


@pytest.mark.parametrize("name", ["overall", "within dates"])
def test_the_slope_of_the_calibration_is_that_of_statsmodels(result, name):
    y, x = (t.to_numpy() for t in (result.returns, result.forecasts))
    axis = None if name == "overall" else 1
    y, x = (v - v.mean(axis=axis, keepdims=True) for v in (y, x))
    lags = max(int(np.ceil(1.3 * len(y) ** 0.5)), 2 * (STEP - 1))
    # Driscoll and Kraay (1998): sums over each date, and Newey and West's kernel.
    fit = OLS(y.ravel(), x.ravel()).fit(
        cov_type="hac-groupsum",
        cov_kwds={
            "time": np.arange(len(y)).repeat(y.shape[1]),
            "maxlags": lags,
            "use_correction": False,
        },
    )
    slope = result.calibration().attrs["slopes"].loc[name]
    assert slope["slope"] == pytest.approx(fit.params[0])
    assert slope["standard_error"] == pytest.approx(fit.bse[0])


@pytest.mark.slow  # importing it takes longer than all other tests of this file
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_ranks_and_bins_are_those_of_alphalens(result):
    from alphalens.performance import (
        factor_information_coefficient,
        mean_return_by_quantile,
    )
    from alphalens.utils import get_clean_factor_and_forward_returns

    returns, forecasts = result.returns[:20], result.forecasts[:20]
    factor = forecasts.stack().rename_axis(["date", "asset"])
    data = get_clean_factor_and_forward_returns(
        factor, result.closes, quantiles=BINS, periods=(STEP,)
    )
    ic = factor_information_coefficient(data).iloc[:, 0]
    ours = result.rank_ic()["mine"][:20]
    np.testing.assert_allclose(ours, ic, atol=1e-12)
    means, _ = mean_return_by_quantile(data, by_date=True, demeaned=False)
    bins = quantile_returns(returns, forecasts, BINS)
    np.testing.assert_allclose(bins.T.to_numpy().ravel(), means.iloc[:, 0], atol=1e-12)


@pytest.mark.parametrize("weights", ["long_short", "long_only", "equal"])
def test_measures_of_portfolios_are_those_of_empyrical(result, weights):
    portfolio = result.backtest(weights=weights, costs=10)
    measures, year = portfolio.measures, portfolio.periods_per_year
    net, gross = portfolio.returns["net"], portfolio.returns["gross"]
    yearly = {"annualization": year}
    expected = {
        "return_gross": empyrical.annual_return(gross, **yearly),
        "return_net": empyrical.annual_return(net, **yearly),
        "volatility": empyrical.annual_volatility(net, **yearly),
        "sharpe_gross": empyrical.sharpe_ratio(gross, **yearly),
        "sharpe_net": empyrical.sharpe_ratio(net, **yearly),
        "max_drawdown": -empyrical.max_drawdown(net),
        "beta": empyrical.beta(net, portfolio.market),
    }
    for name, value in expected.items():
        assert measures[name] == pytest.approx(value), name
    months = empyrical.aggregate_returns(net, "monthly")
    table = portfolio.monthly().stack().dropna()
    np.testing.assert_allclose(table, months)
    fit, _ = newey_west(net, 1)
    assert measures["t_statistic"] == pytest.approx(fit.tvalues[0])
    line = OLS(net, np.column_stack([np.ones(len(net)), portfolio.market])).fit()
    alpha, beta = line.params
    assert (measures["alpha"], measures["beta"]) == pytest.approx((alpha * year, beta))


def test_a_mean_with_gaps_is_tested_as_by_statsmodels():
    """Dates without a value keep their place, as rows of zeros do."""
    values = pd.Series(np.random.default_rng(0).normal(0.1, 1.0, 160))
    values[[3, 40, 41, 42, 90]] = np.nan
    known = values.notna().to_numpy(float)
    kernel = {"maxlags": 17, "use_correction": False}
    fit = OLS(values.fillna(0.0), known).fit(cov_type="HAC", cov_kwds=kernel)
    found = mean_inference(values)
    assert found.lags == 17
    assert found.mean == pytest.approx(fit.params.iloc[0])
    assert found.standard_error == pytest.approx(fit.bse.iloc[0])
    assert found.t_statistic == pytest.approx(fit.tvalues.iloc[0])
