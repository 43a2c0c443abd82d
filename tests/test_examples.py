"""The gallery: each example runs, and its output shows what its text says."""

import re
import runpy
from math import erf, exp, pi, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import TimeSeriesSplit

import skbatch.datasets

plt = pytest.importorskip("matplotlib.pyplot")
EXAMPLES = Path(skbatch.__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(
    not EXAMPLES.exists(), reason="The package is installed without its repository."
)
NAMES = [
    "plot_01_quickstart",
    "plot_02_tuning",
    "plot_03_groups_and_market_data",
    "plot_04_dirty_data",
    "plot_05_walk_forward",
    "plot_06_intervals_and_ranks",
    "plot_07_custom_feature",
    "plot_08_custom_forecaster",
    "plot_09_portfolio",
    "plot_10_dask",
    "plot_11_signals",
]


def read(name):
    return (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder; give its names, and as ``printed`` its text.

    Warnings are errors here, as everywhere in the tests.
    """
    shown = []
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))

    def run_example(name):
        names = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        assert len(shown) == len(plt.get_fignums()) >= 1
        for figure in shown:
            figure.canvas.draw()
            for ax in figure.axes:
                assert ax.get_xlabel() or ax.get_ylabel(), name
        assert list(tmp_path.iterdir()) == []
        return {**names, "printed": capsys.readouterr().out}

    yield run_example
    plt.close("all")


def mean_rank_ic(returns, forecasts):
    """Correlate the ranks of each date."""
    ranks = returns.rank(axis=1).loc[forecasts.index]
    return ranks.corrwith(forecasts.rank(axis=1), axis=1).mean()


def returns_ahead(prices, horizon):
    return prices.shift(-horizon) / prices - 1


def moved(one, other):
    """Share of a portfolio that is traded to make it another one."""
    return (one - other).abs().sum() / 2


def test_the_gallery_is_complete():
    assert sorted(path.stem for path in EXAMPLES.glob("plot_*.py")) == NAMES
    tests = {name for name in globals() if name.startswith("test_plot_")}
    assert tests == {f"test_{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_form(name):
    text = read(name)
    assert len(text.splitlines()) < 120
    title, underline = text.splitlines()[1:3]
    assert text.startswith('"""\n')
    assert underline == "=" * len(title)
    # A page of text and code in turns: each cell begins with prose.
    cells = text.split("\n# %%\n")[1:]
    assert len(cells) >= 3
    assert all(cell.startswith("# ") for cell in cells)


@pytest.mark.parametrize("name", NAMES)
def test_links_and_data(name):
    text = read(name)
    for target in re.findall(r"sphx_glr_auto_examples_(\w+)\.py", text):
        assert target in NAMES
    assert "from skbatch.datasets import load_sp500_prices" in text
    assert not re.search(r"read_(csv|parquet|panel)|https?://|yfinance", text)


@pytest.mark.slow
def test_plot_01_quickstart(run):
    names = run("plot_01_quickstart")
    prices, forecasts = names["prices"], names["forecasts"]
    assert forecasts.index[forecasts.isna()].tolist() == ["BBY"]
    # 60 prices, of which the last is not fitted on and five more have no label yet.
    assert f"primary: {60 - 1 - 5} labels, needs 63" in names["printed"]
    models = names["provenance"]["model"]
    assert models["GE"] == "BatchLinearForecaster"
    assert models.drop(["BBY", "GE"]).eq("BatchXGBoostForecaster").all()
    assert forecasts.max() - forecasts.min() < 0.005
    assert prices.pct_change(5).std().median() > 0.03


@pytest.mark.slow
def test_plot_02_tuning(run):
    names = run("plot_02_tuning")
    search, prices, past = names["search"], names["prices"], names["past"]
    y = skbatch.forward_returns(prices, horizon=5)
    folds = TimeSeriesSplit(5, test_size=126).split(past)
    scores = np.zeros((5, 6))
    for row, (train, test) in enumerate(folds):
        extractor = skbatch.SharedFeatureExtractor()
        X = extractor.fit_transform(past.iloc[train])
        X_test = extractor.transform(past.iloc[test])
        for column, params in enumerate(search.cv_results_["params"]):
            trees = skbatch.BatchXGBoostForecaster(n_estimators=60)
            trees.set_params(**{k.removeprefix("trees__"): params[k] for k in params})
            forecasts = trees.fit(X, y.iloc[train]).predict(X_test)
            known = returns_ahead(past.iloc[test], 5)  # NaN if it ends after the fold
            scores[row, column] = mean_rank_ic(known, forecasts)
    means = scores.mean(axis=0)
    assert search.cv_results_["mean_test_score"] == pytest.approx(means, abs=1e-6)
    assert search.best_params_ == search.cv_results_["params"][means.argmax()]
    errors = scores.std(axis=0, ddof=1) / sqrt(5)
    assert names["results"]["standard_error"].to_numpy() == pytest.approx(errors)

    def largest_of(n):
        x = np.linspace(-8, 8, 20_001)
        below = np.array([(1 + erf(value / sqrt(2))) / 2 for value in x])
        density = np.array([exp(-value * value / 2) for value in x]) / sqrt(2 * pi)
        return np.trapezoid(x * n * density * below ** (n - 1), x)

    assert round(largest_of(6), 2) == 1.27
    assert round(largest_of(100), 1) == 2.5
    assert names["luck"] == pytest.approx(largest_of(6) * errors.mean(), rel=0.02)
    assert search.best_score_ < names["luck"] + 2 * errors.mean()
    assert abs(names["held_out"].mean) < 2 * names["error"]
    asked = 6 * 5 * 2 + 1
    assert f"asked for {asked} times, computed {5 * 2 + 1}" in names["printed"]


@pytest.mark.slow
def test_plot_03_groups_and_market_data(run):
    names = run("plot_03_groups_and_market_data")
    features, prices, rate = names["features"], names["prices"], names["rate"]
    shown = features["market__made_up_rate"]
    assert shown["2022-12-22"] == pytest.approx(rate["2022-12-16"])
    assert shown["2022-12-23"] == pytest.approx(rate["2022-12-23"])
    month = np.log(prices / prices.shift(21)).iloc[-1]
    gap = month["XOM"] - month[["CVX", "RRC", "XOM"]].mean()
    last = features.iloc[-1]
    assert last["XOM__group_log_return_21"] == pytest.approx(gap, abs=1e-6)
    assert np.isnan(last["GE__group_log_return_21"])

    scores = names["scores"].to_numpy()
    for one in scores:
        for other in scores:
            assert abs(one[0] - other[0]) < 2 * max(one[1], other[1])

    change = names["own"].expected_returns - names["one"].expected_returns
    assert (change[list(names["SECTORS"])].abs() > 1e-6).all()
    sizes = names["own"].provenance["batch"].value_counts()
    assert (sizes.min(), sizes.max()) == (2, 6)


@pytest.mark.slow
def test_plot_04_dirty_data(run):
    names = run("plot_04_dirty_data")
    findings = names["result"].to_frame()
    quarantined = {
        "BBY": "constant",
        "CVX": "invalid",
        "GE": "jump",
        "JNJ": "stale",
        "PEP": "duplicate",
    }
    for ticker, rule in quarantined.items():
        assert np.isnan(findings.loc[ticker, "expected_return"])
        assert findings.loc[ticker, "reason"].startswith(f"quarantined ({rule})")
        assert f"{ticker} quarantined ({rule})" in names["printed"]
    assert "HD noted (invalid)" in names["printed"]
    simple = findings["model"] == "BatchLinearForecaster"
    assert findings.index[simple].tolist() == ["AMD", "UNH"]
    served = findings.drop([*quarantined, "AMD", "UNH"])
    assert served["model"].nunique() == 1
    assert served["expected_return"].notna().all()

    source = names["walk"].provenance
    dates = source.index
    assert (source == "none").sum()[lambda n: n > 0].to_dict() == {
        "AMD": 105,  # until the refit that finds enough of its prices
        "BBY": 21,  # since its feed has stood still for 20 rows
        "CVX": 100,  # since its zero
        "GE": 20,  # since its jump
        "JNJ": 30,
        "PEP": 126,
    }
    zero, refits = names["last"][-100], names["walk"].refits.index
    assert dates[source["CVX"] == "none"].equals(dates[dates >= zero])
    assert (source.loc[dates[-1], ["BBY", "GE"]] == "none").all()
    last_refit = refits[-1]
    at = names["dirty"].loc[:last_refit, "BBY"].iloc[:-1]
    assert (at == at.iloc[-1]).sum() == 20
    assert names["last"][-20] >= last_refit


@pytest.mark.slow
def test_plot_05_walk_forward(run):
    names = run("plot_05_walk_forward")
    walk, prices = names["walk"], names["prices"]
    own = walk.scorecard.loc[walk.name]
    returns = returns_ahead(prices, 5).loc[walk.forecasts.index]
    assert own["rank_ic"] == pytest.approx(mean_rank_ic(returns, walk.forecasts))
    assert abs(own["rank_ic"]) < 0.05
    known = returns.notna()
    error = ((returns - walk.forecasts)[known] ** 2).sum().sum()
    r2 = 1 - error / (returns[known] ** 2).sum().sum()
    assert own["r2_zero"] == pytest.approx(r2, abs=1e-6)

    card = walk.scorecard.drop(index="zero")
    assert (card["rank_ic_t"].dropna().abs() < card["critical_t"].max()).all()
    assert (card["r2_zero_t"].dropna() < 2).all()
    years = walk.skill_by("year")
    assert years["r2_zero"].idxmax() == years["rank_ic"].idxmin()
    assert (years["rank_ic_t"].abs() < 2).all()
    assert 0.01 < abs(own["rank_ic"] / own["rank_ic_t"]) < 0.03
    assert "report.html: " in names["printed"]


@pytest.mark.slow
def test_plot_06_intervals_and_ranks(run):
    names = run("plot_06_intervals_and_ranks")
    week, tables = names["week"], names["tables"]
    known = week.notna()
    past = returns_ahead(names["prices"], 5).loc[names["new"]]
    np.testing.assert_allclose(week, past)

    below = (week < tables[0.1])[known].mean(axis=1).dropna().astype(float)
    assert below.mean() == pytest.approx(0.164, abs=0.006)
    weeks = below.iloc[::5]  # do not overlap
    assert (weeks.mean() - 0.1) / (weeks.std() / sqrt(len(weeks))) > 1.5
    inside = ((week >= tables[0.1]) & (week <= tables[0.9]))[known]
    assert inside.stack().mean() == pytest.approx(0.744, abs=0.006)
    shares = inside.astype(float).mean()
    # Within a percent, as another release of a dependency may move a bound.
    assert (shares.min(), shares.max()) == pytest.approx((0.65, 0.81), abs=0.01)
    assert names["held"]["all 20"] == pytest.approx(inside.stack().mean())

    date, forecaster = names["X"].iloc[[149]], names["forecaster"]
    lower, upper = (table[21].iloc[0] for table in forecaster.predict_interval(date))
    width = upper - lower
    assert width["AMD"] > 3 * width["JNJ"]
    median = forecaster.predict_quantiles(date, [0.5])[0.5][21].iloc[0]
    assert median[["AMD", "JNJ"]].between(0.015, 0.035).all()

    chances = names["chances"]
    ends, middle = chances[[1, 5]].min(axis=1), chances[3]
    assert (ends - middle)[["RRC", "AMD"]].min() > 0.1
    assert (ends - middle)[["KO", "JNJ"]].max() < -0.1
    assert np.mean(names["scores"]) < 0.16  # a little better than equal chances


@pytest.mark.slow
def test_plot_07_custom_feature(run):
    names = run("plot_07_custom_feature")
    prices, last = names["prices"], names["features"].iloc[-1]
    returns = prices["AAPL"].pct_change().iloc[-63:]
    down = sum(r * r for r in returns if r < 0) / sum(r * r for r in returns)
    assert last["AAPL__downside_share"] == pytest.approx(down, rel=1e-5)
    highs = sum(prices[t].iloc[-1] == prices[t].iloc[-63:].max() for t in prices)
    assert last["market__new_highs"] == pytest.approx(highs / 20)
    assert "smooth_trend: SharedFeatureExtractor looks ahead" in names["printed"]
    assert "scaled_return: SharedFeatureExtractor looks ahead" in names["printed"]

    *others, leak = names["scores"].values()
    assert leak.mean > 0.5
    assert all(abs(score.mean) < 0.05 for score in others)
    errors = [abs(score.mean / score.t_statistic) for score in others]
    means = [score.mean for score in others]
    assert max(means) - min(means) < 2 * min(errors)


@pytest.mark.slow
def test_plot_08_custom_forecaster(run):
    names = run("plot_08_custom_forecaster")
    prices = names["prices"]
    means = returns_ahead(prices.iloc[-1500:], 5).mean()
    assert names["result"].expected_returns.to_numpy() == pytest.approx(means.mean())
    assert "breaks the rule `missing_labels_are_not_filled`" in names["printed"]

    labels = returns_ahead(prices, 21)
    mean = labels.mean()
    error = 21 * labels.var(ddof=0) / labels.count()
    between = mean.var(ddof=0) - error.mean()
    assert between > 0
    kept = {t: between / (between + error[t]) for t in prices}
    expected = [mean.mean() + kept[t] * (mean[t] - mean.mean()) for t in prices]
    assert names["shrunken"] == pytest.approx(100 * np.array(expected), rel=1e-5)
    assert kept["AMD"] < 0.1
    assert kept["JNJ"] > 0.5
    walk = names["walk"]
    card = walk.scorecard.loc[walk.name]
    assert 0 < card["r2_mean"] < 0.01
    assert abs(card["rank_ic_t"]) < card["critical_t"]
    assert str(walk.forecasts.index[0].date()).startswith("1994-12")


@pytest.mark.slow
def test_plot_09_portfolio(run):
    pytest.importorskip("pypfopt")
    names = run("plot_09_portfolio")
    weights = names["table"] / 100
    assert weights.sum().to_numpy() == pytest.approx(1, abs=1e-3)
    assert weights.min().min() > -1e-6
    sharpe, bounded, ratio, shorter, least = (weights[name] for name in weights)
    assert bounded.max() < 0.1001

    expected = pd.Series(dict(names["expected"]))[weights.index]
    covariance = names["covariance"].loc[weights.index, weights.index]

    def reward(w):
        return (w @ expected - 0.02) / sqrt(w @ covariance @ w)

    draws = np.random.default_rng(0).dirichlet(np.full(20, 0.3), 2000)
    assert reward(sharpe) > max(reward(pd.Series(w, weights.index)) for w in draws)
    assert moved(sharpe, ratio) < 0.1
    assert (
        0.25 < moved(ratio, shorter) < 0.6
    )  # about a third, with each release of XGBoost
    assert 0.3 < moved(sharpe, least) < 0.7  # about half is the same
    quiet = names["prices"].pct_change().std().nsmallest(7).index
    assert sharpe[quiet].sum() > 0.5  # most of it, with each release of XGBoost
    assert names["wrong"].failed == ["size"]
    assert not names["report"].failed


# Dask and XGBoost leave sockets and loops to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_plot_10_dask(run):
    distributed = pytest.importorskip("distributed")
    names = run("plot_10_dask")
    forecasts, gaps = pd.DataFrame(names["forecasts"]), names["gaps"]
    exact = forecasts["cluster, no sampling"] - forecasts["one machine, no sampling"]
    assert exact.abs().max() < 1e-7
    # In percent; of one order of magnitude, as releases of XGBoost draw differently.
    assert 0.1 < gaps["cluster"] / gaps["one machine, another seed"] < 10
    assert {"cluster", "one machine"} <= set(names["seconds"])
    with pytest.raises(ValueError, match="No clients found"):
        distributed.default_client()


@pytest.mark.slow
def test_plot_11_signals(run):
    names = run("plot_11_signals")
    panel, fridays = names["panel"]["score"], names["fridays"]
    age = pd.Series(panel.index, panel.index) - pd.Timedelta("28D")
    for date in panel.index[[-200, -100, -1]]:
        known = fridays.loc[age[date] : date].ffill().iloc[-1]
        pd.testing.assert_series_equal(panel.loc[date], known, check_names=False)
    ic = names["table"]["rank IC"]
    assert ic["prices only"] < ic["prices and score"] < ic["the score itself"] < 0.1
    assert names["extractor"].plan_.ticker_names[-1] == "score_change_63"
