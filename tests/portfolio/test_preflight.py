import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypfopt import risk_models
from scipy.stats import zscore
from skfolio.moments import (
    DenoiseCovariance,
    EWCovariance,
    GerberCovariance,
    ShrunkCovariance,
)
from sklearn.covariance import LedoitWolf

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    robust_forecast_returns,
)
from skbatch.datasets import load_sp500_prices, make_panel
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio import ExpectedReturns, PreflightReport, preflight, to_pypfopt
from skbatch.portfolio._window_volatility import window_volatility

N_DATES, N_TICKERS, HORIZON = 300, 6, 5
PRICES = make_panel(N_DATES, N_TICKERS, random_state=0)
TICKERS = list(PRICES.columns)
DAILY = PRICES.pct_change().iloc[1:].cov()
ANNUAL = DAILY * 252
RETURNS = dict(zip(TICKERS, [0.02, 0.05, 0.10, 0.15, 0.20, 0.25], strict=True))


def expected(values=RETURNS, *, annualized=True, year=252, **params):
    reasons = ["" if np.isfinite(v) else f"no prices of {t}" for t, v in values.items()]
    provenance = pd.DataFrame({"model": "M", "batch": "1", "reason": reasons}, values)
    return ExpectedReturns(
        values,
        date=PRICES.index[-1],
        horizon=HORIZON,
        periods_per_year=year,
        annualized=annualized,
        provenance=provenance,
        **params,
    )


def still(prices, ticker, n_rows=30):
    prices = prices.copy()
    prices.loc[prices.index[-n_rows] :, ticker] = prices[ticker].iloc[-n_rows]
    return prices


def spread(ratio, horizon=HORIZON):
    """Forecasts over the horizon that differ by a share of a return's volatility."""
    volatility = PRICES.pct_change().iloc[-252:].std().median() * np.sqrt(horizon)
    scores = np.linspace(-1, 1, N_TICKERS)
    values = 0.01 + scores / scores.std(ddof=1) * ratio * volatility
    return dict(zip(TICKERS, values, strict=True))


def test_nothing_is_wrong_with_good_inputs():
    result = expected(spread(0.2), annualized=False)
    covariance = DAILY * HORIZON
    report = preflight(result, covariance, prices=PRICES, covariance_periods=HORIZON)
    assert isinstance(report, PreflightReport)
    assert report.ok
    assert report.checks["ok"].all()
    assert report.failed == report.warnings == []
    assert report.verdict == "Ready for an optimizer."
    report.raise_if_failed()
    assert list(report.checks.index) == [
        "missing",
        "labels",
        "units",
        "covariance",
        "size",
        "dates",
        "stale",
        "risk-free rate",
        "dispersion",
    ]


FAULTS = {
    "labels": [
        (expected(), ANNUAL.to_numpy(), {}),
        (expected(), ANNUAL.iloc[:-1, :-1], {}),
        (np.array(list(RETURNS.values())), ANNUAL, {}),
    ],
    "units": [
        (expected(annualized=False), ANNUAL, {}),
        (expected(year=365), ANNUAL, {}),
        (expected(), ANNUAL, {"covariance_periods": 1}),
    ],
    "covariance": [(expected(), ANNUAL - 0.2, {})],
    "size": [
        (expected(), DAILY, {}),
        (expected(), ANNUAL * 1e4, {}),
    ],
    "risk-free rate": [
        (expected({t: -r for t, r in RETURNS.items()}), ANNUAL, {}),
        (expected(), ANNUAL, {"risk_free_rate": 0.25}),
    ],
}


@pytest.mark.parametrize(
    ("check", "result", "covariance", "params"),
    [(check, *case) for check, cases in FAULTS.items() for case in cases],
)
def test_what_a_hand_off_refuses_fails_here(check, result, covariance, params):
    report = preflight(result, covariance, **params)
    assert report.failed == [check]
    assert not report.ok
    assert report.verdict == f"Not ready for an optimizer: see {check}."
    with pytest.raises(PortfolioError) as refused:
        to_pypfopt(result, covariance, **params)
    assert report.checks.at[check, "detail"] == str(refused.value)
    with pytest.raises(PortfolioError, match=rf"\[{check}\]"):
        report.raise_if_failed()


@settings(max_examples=50)
@given(
    st.sampled_from([1, 5, 252]),
    st.sampled_from([None, 1, 5, 252, 365]),
    st.booleans(),
    st.sampled_from([-1.0, 0.0, 0.1, 0.3, None]),
    st.permutations(TICKERS),
    st.sets(st.sampled_from(TICKERS)),
)
def test_a_report_is_as_strict_as_the_hand_off(
    scale, periods, annualized, rate, order, missing
):
    values = RETURNS | dict.fromkeys(missing, np.nan)
    result = expected(values, annualized=annualized)
    covariance = (DAILY * scale).loc[order, order]
    params = {"covariance_periods": periods, "risk_free_rate": rate}
    report = preflight(result, covariance, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PortfolioWarning)
        if report.ok:
            to_pypfopt(result, covariance, **params)
        else:
            with pytest.raises(PortfolioError):
                to_pypfopt(result, covariance, **params)


def test_prices_tell_the_size_of_a_covariance_whoever_says_what():
    assert preflight(expected(), ANNUAL, prices=PRICES, covariance_periods=252).ok
    report = preflight(expected(), DAILY, prices=PRICES, covariance_periods=252)
    assert report.failed == ["size"]
    # √252 = 15.9, and a covariance that small is of one row.
    detail = report.checks.at["size", "detail"]
    factor = float(detail.split("that are ")[1].split(" times smaller")[0])
    assert factor == pytest.approx(np.sqrt(252), rel=0.1)
    assert "as if it spanned 1" in detail


def test_another_order_is_noted():
    report = preflight(expected(), ANNUAL.iloc[::-1, ::-1])
    assert report.ok
    assert "labels" in report.warnings
    assert "by position" in report.checks.at["labels", "detail"]
    same = preflight(expected(), ANNUAL)
    assert "labels" not in same.warnings


def test_tickers_without_forecast_are_noted_with_reasons():
    report = preflight(expected(RETURNS | {TICKERS[1]: np.nan}), ANNUAL)
    assert report.ok
    told = f"No forecast for 1 of 6 tickers: {TICKERS[1]} (no prices of {TICKERS[1]})."
    assert report.checks.at["missing", "detail"] == told
    nothing = preflight(expected(dict.fromkeys(TICKERS, np.nan)))
    assert nothing.failed == ["missing"]


def test_prices_that_stand_still_fail():
    ticker = TICKERS[2]
    prices = still(PRICES, ticker)
    report = preflight(expected(), prices=prices)
    assert report.failed == ["stale"]
    assert f"{ticker} (the last 30 prices are all the same" in str(
        report.checks.at["stale", "detail"]
    )
    # What the forecast itself knows is enough, and so is no forecast.
    assert preflight(expected(stale={ticker: "ended"})).failed == ["stale"]
    without = expected(RETURNS | {ticker: np.nan}, stale={ticker: "ended"})
    assert preflight(without, prices=prices).ok


def test_prices_that_ended_fail():
    prices = PRICES.copy()
    prices.iloc[-10:, 0] = np.nan
    report = preflight(expected(), prices=prices)
    assert report.failed == ["stale"]
    assert "no price in the last 10 rows" in report.checks.at["stale", "detail"]


def test_later_prices_are_not_looked_at():
    future = make_panel(N_DATES + 20, N_TICKERS, random_state=0)
    known = future.iloc[:N_DATES].set_axis(PRICES.index)
    later = pd.bdate_range(PRICES.index[-1], periods=21)[1:]
    garbage = pd.DataFrame(np.geomspace(1, 1e6, 20)[:, None] * np.ones(6), later)
    longer = pd.concat([known, garbage.set_axis(TICKERS, axis=1)])
    before = preflight(expected(), ANNUAL, prices=known).checks.drop("dates")
    after = preflight(expected(), ANNUAL, prices=longer).checks
    pd.testing.assert_frame_equal(after.drop("dates"), before)
    assert after.at["dates", "severity"] == "warning"
    assert "forecast again" in after.at["dates", "detail"]


def test_prices_that_end_before_the_forecasts_are_noted():
    report = preflight(expected(), prices=PRICES.iloc[:-1])
    assert "dates" in report.warnings
    assert "have no row for" in report.checks.at["dates", "detail"]


@pytest.mark.parametrize(
    "index", [pd.RangeIndex(N_DATES), PRICES.index.tz_localize("America/New_York")]
)
def test_prices_with_other_dates_fail_a_check(index):
    report = preflight(expected(), ANNUAL, prices=PRICES.set_axis(index))
    assert report.failed == ["dates"]
    detail = report.checks.at["dates", "detail"]
    assert "dates like those of the forecasts" in detail
    assert "prices.tz_localize(None)" in detail
    assert report.checks.at["size", "ok"]


@pytest.mark.parametrize(
    ("check", "result", "params"),
    [
        ("labels", [0.1, 0.2], {"returns_periods": 252}),
        ("labels", pd.Series([0.1, 0.2], ["A", "A"]), {"returns_periods": 252}),
        ("units", RETURNS, {}),
        ("units", expected(), {"returns_periods": 5}),
        ("forecasts", {}, {"returns_periods": 252}),
    ],
)
def test_what_cannot_be_read_fails_under_its_name(check, result, params):
    report = preflight(result, ANNUAL, **params)
    assert report.failed == list(report.checks.index) == [check]


def test_several_horizons_are_no_matter_of_labels():
    system = BatchForecastingSystem((1, 5), forecaster=BatchLinearForecaster())
    report = preflight(system.fit(PRICES).forecast(), ANNUAL)
    assert report.failed == ["forecasts"]
    assert "one horizon" in report.checks.at["forecasts", "detail"]


@pytest.mark.parametrize(
    ("ratio", "ok", "words"),
    [
        (0.0, False, "do not rank the tickers"),
        (0.02, False, "50 times as much: an optimizer will magnify noise"),
        (0.2, True, "a ratio of 0.20"),
        (0.8, False, "implies a correlation of 0.80"),
    ],
)
@pytest.mark.parametrize("annualized", [False, True])
def test_dispersion_is_judged_against_volatility(ratio, ok, words, annualized):
    result = expected(spread(ratio), annualized=False)
    result = result.in_units(annualized=annualized)
    report = preflight(result, prices=PRICES)
    assert report.ok
    assert report.checks.at["dispersion", "ok"] == ok
    assert words in report.checks.at["dispersion", "detail"]


def test_dispersion_goes_by_intervals_first_then_prices_then_the_covariance():
    result = expected(spread(0.2), annualized=False)
    half = 1.645 * 10 * np.sqrt(np.diag(DAILY * HORIZON))
    interval = pd.DataFrame({"lower": -half, "upper": half}, TICKERS)
    wide = expected(spread(0.2), annualized=False, interval=interval)
    covariance = DAILY * HORIZON
    params = {"covariance_periods": HORIZON}

    def detail(*args, **given):
        return preflight(*args, **given).checks.at["dispersion", "detail"]

    assert "according to the covariance" in detail(result, covariance, **params)
    assert "according to the prices" in detail(
        result, covariance, prices=PRICES, **params
    )
    # Ten times the volatility makes a tenth of the ratio.
    assert "50 times as far" not in detail(result, prices=PRICES)
    assert "according to the intervals, 5" in detail(wide, prices=PRICES)
    assert "Pass `prices`" in detail(result)


@pytest.mark.parametrize(("coverage", "z"), [(0.5, 0.67449), (0.99, 2.57583)])
def test_intervals_are_read_by_their_coverage(coverage, z):
    """Of whatever coverage, they are those of returns that stray by 5%."""
    half = np.full(len(TICKERS), z * 0.05)
    interval = pd.DataFrame({"lower": -half, "upper": half}, TICKERS)
    interval.attrs["coverage"] = coverage
    result = expected(spread(0.2), annualized=False, interval=interval)
    detail = preflight(result).checks.at["dispersion", "detail"]
    assert "is 5%, according to the intervals" in detail


def test_a_single_ticker_cannot_be_compared():
    report = preflight({"A": 0.1}, returns_periods=252)
    assert report.ok
    assert report.checks.at["dispersion", "detail"] == "There is only one ticker."


def test_no_rate_is_not_compared():
    negative = expected({t: -r for t, r in RETURNS.items()})
    assert preflight(negative, ANNUAL, risk_free_rate=None).ok


def test_fields_beside_closes_are_fine():
    fields = {"Close": PRICES, "Volume": PRICES * 1000}
    panel = pd.concat(fields, axis=1)
    whole = preflight(expected(), ANNUAL, prices=panel)
    closes = preflight(expected(), ANNUAL, prices=PRICES)
    pd.testing.assert_frame_equal(whole.checks, closes.checks)


def test_a_report_reads_well():
    values = RETURNS | {TICKERS[1]: np.nan}
    report = preflight(expected(values), ANNUAL, prices=PRICES)
    lines = str(report).splitlines()
    assert lines[0].startswith("5 expected returns at ")
    assert lines[0].endswith("over a year of 252 rows")
    assert lines[-1] == report.verdict
    assert max(map(len, lines)) <= 88
    assert sum(line.startswith("dispersion ") for line in lines) == 1
    assert repr(report) == f"PreflightReport: {report.verdict} (9 checks)"


def test_html_is_escaped():
    name = "<b>"
    report = preflight({name: np.nan, "A": 0.1}, returns_periods=252)
    page = report._repr_html_()
    assert "&lt;b&gt;" in page
    assert name not in page.replace(f"<p><b>{report.verdict}</b></p>", "")


def test_nothing_is_changed_and_nothing_raised():
    covariance = ANNUAL.iloc[::-1, ::-1].copy()
    before, prices = covariance.copy(), PRICES.copy()
    preflight(expected(), covariance, prices=prices)
    pd.testing.assert_frame_equal(covariance, before)
    pd.testing.assert_frame_equal(prices, PRICES)


# --- the size of a covariance -------------------------------------------------------


@pytest.fixture(scope="module")
def stocks():
    return load_sp500_prices().iloc[-900:]


def sample_of(prices, rule):
    return prices.resample(rule).last().pct_change().iloc[1:]


def shrunk(returns):
    matrix = LedoitWolf().fit(returns).covariance_
    return pd.DataFrame(matrix, returns.columns, returns.columns)


# Of daily closes of a year of 252 rows, from the returns that it is estimated on.
OF_OTHER_UNITS = {
    "correlation": lambda p: p.pct_change().corr(),
    "annual correlation": lambda p: p.pct_change().corr() * 252,
    "rank correlation": lambda p: p.pct_change().corr("spearman"),
    "shrunk correlation": lambda p: shrunk(p.pct_change().iloc[1:].apply(zscore)),
    "weekly as daily": lambda p: sample_of(p, "W").cov() * 252,
    "shrunk weekly as daily": lambda p: shrunk(sample_of(p, "W")) * 252,
    "monthly as daily": lambda p: sample_of(p, "ME").cov() * 252,
    "daily as weekly": lambda p: p.pct_change().cov() * 52,
    "daily as monthly": lambda p: p.pct_change().cov() * 12,
    "daily": lambda p: p.pct_change().cov(),
    "weekly": lambda p: sample_of(p, "W").cov(),
    "percent": lambda p: (100 * p.pct_change()).cov() * 252,
    "daily percent": lambda p: (100 * p.pct_change()).cov(),
}
OF_A_YEAR = {
    "daily": lambda p: p.pct_change().cov() * 252,
    "a year of 260": lambda p: p.pct_change().cov() * 260,
    "logarithmic": lambda p: np.log(p).diff().cov() * 252,
    "weekly": lambda p: sample_of(p, "W").cov() * 52,
    "monthly": lambda p: sample_of(p, "ME").cov() * 12,
    "last quarter": lambda p: p.iloc[-64:].pct_change().cov() * 252,
    "crisis": lambda p: p.loc["2020-02":"2020-05"].pct_change().cov() * 252,
    "first half": lambda p: p.iloc[:450].pct_change().cov() * 252,
    "five years": lambda p: all_prices(p).iloc[-1260:].pct_change().cov() * 252,
    "all years": lambda p: all_prices(p).pct_change().cov() * 252,
    "Ledoit-Wolf": lambda p: shrunk(p.pct_change().iloc[1:]) * 252,
    "pypfopt, shrunk": lambda p: risk_models.CovarianceShrinkage(p).ledoit_wolf(
        "constant_correlation"
    ),
    "pypfopt, one variance": lambda p: risk_models.CovarianceShrinkage(
        p
    ).shrunk_covariance(1.0),
    "pypfopt, semi": lambda p: risk_models.semicovariance(p),
    "pypfopt, exponential": lambda p: risk_models.exp_cov(p, span=60),
    "skfolio": lambda p: of_skfolio(ShrunkCovariance(), p),
    "skfolio, denoised": lambda p: of_skfolio(DenoiseCovariance(), p),
    "skfolio, exponential": lambda p: of_skfolio(EWCovariance(), p),
    "skfolio, Gerber": lambda p: of_skfolio(GerberCovariance(), p),
}


def all_prices(prices):
    return every_year()[list(prices)]


every_year = cache(load_sp500_prices)


def of_skfolio(estimator, prices):
    returns = prices.pct_change().iloc[1:]
    matrix = estimator.fit(returns).covariance_ * 252
    return pd.DataFrame(matrix, returns.columns, returns.columns)


@pytest.fixture(scope="module")
def mean_of(stocks):
    """Forecasts of the first stocks, made once for all covariances."""
    return cache(lambda n: robust_forecast_returns(None, stocks.iloc[:, :n], "mean"))


@pytest.mark.parametrize("n_tickers", [5, 20])
@pytest.mark.parametrize("name", OF_OTHER_UNITS)
def test_covariances_of_other_units_are_refused(stocks, mean_of, name, n_tickers):
    prices = stocks.iloc[:, :n_tickers]
    covariance = OF_OTHER_UNITS[name](prices)
    mu = mean_of(n_tickers)
    report = preflight(
        dict(mu), covariance, prices=prices, returns_periods=252, covariance_periods=252
    )
    assert report.failed == ["size"]
    with pytest.raises(PortfolioError, match="`covariance` must"):
        to_pypfopt(mu, covariance, covariance_periods=252)


@pytest.mark.parametrize("n_tickers", [1, 2, 5, 20])
@pytest.mark.parametrize("name", OF_A_YEAR)
def test_covariances_of_any_estimator_and_window_pass(stocks, mean_of, name, n_tickers):
    prices = stocks.iloc[:, :n_tickers]
    if n_tickers == 1 and name.startswith("pypfopt, shrunk"):
        pytest.skip("A constant correlation needs two tickers.")
    covariance = OF_A_YEAR[name](prices)
    mu = mean_of(n_tickers)
    report = preflight(mu, covariance, prices=prices, covariance_periods=252)
    assert report.ok, report
    assert report.checks.at["size", "ok"]
    to_pypfopt(mu, covariance, covariance_periods=252)


def test_a_correlation_matrix_is_refused_without_any_measurement():
    correlation = PRICES.pct_change().corr()
    params = {"returns_periods": 252, "covariance_periods": 252}
    for result in (expected(), RETURNS):
        with pytest.raises(PortfolioError, match="as in a correlation matrix"):
            to_pypfopt(result, correlation, **params)
    assert preflight(expected(), correlation).failed == ["size"]


def test_volatilities_of_windows_are_those_of_pandas():
    prices = PRICES.copy()
    prices.iloc[:100, 1] = np.nan
    prices.iloc[150:, 2] = 7.0
    prices.iloc[-1, 3] = np.nan
    found = window_volatility(prices)
    moves = prices.pct_change(fill_method=None).iloc[1:]
    windows = [moves.iloc[-252:], moves.iloc[-63:], moves.iloc[-126:], moves]
    for row, window in enumerate(windows):
        slow = window.std().where((window.count() >= 20) & (window.std() > 0))
        np.testing.assert_allclose(found.iloc[row], slow, rtol=1e-9)
    # Four to the last date, four older quarters, one older year.
    assert len(found) == 9
