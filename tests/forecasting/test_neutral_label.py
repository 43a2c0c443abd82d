"""Returns relative to beta times the market, to groups, or to exposures."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.config import BatchForecastingConfig
from skbatch.datasets import make_panel
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting.engine import relative_to, target_of
from skbatch.panel import join_signals
from skbatch.testing import check_no_lookahead

HORIZON = 5
# Everything trains, and forecasts are of the model alone.
PLAIN = {"market_weight": 0.0, "thin": 1, "validation_size": 0}
SECTORS = {f"T{n:03}": "abca"[n % 4] for n in range(9)} | {"T008": "alone"}
KINDS = ["beta", "group", ["volatility_63", "log_return_63"], ["group", "beta_252"]]


@pytest.fixture(scope="module")
def prices():
    table = make_panel(420, 10, random_state=3)
    table.iloc[:340, 2] = np.nan
    return table


@pytest.fixture(scope="module")
def frames(prices):
    X = extractor().fit_transform(prices)
    return X[-160:], forward_returns(prices, HORIZON)[-160:]


def extractor(groups=SECTORS):
    families = ["returns", "volatility", "relative"]
    return SharedFeatureExtractor(families, [63, 252], groups=groups)


def table(X, feature, y):
    names = [f"{ticker}__{feature}" for ticker in y]
    return X[names].astype(float).set_axis(list(y), axis=1)


def shrunken_betas(X, y):
    return (0.33 + 0.67 * table(X, "beta_252", y).clip(-1, 4)).fillna(1.0)


def level_of_date(kind, returns, exposures):
    """What one date's winsorized returns are relative to."""
    if kind == "group":
        groups = pd.Series(SECTORS).reindex(returns.index)
        count = returns.groupby(groups).transform("count")
        return returns.groupby(groups).transform("mean").where(count > 1)
    inputs = exposures.copy()
    if "group" in kind:
        groups = pd.Series(SECTORS).reindex(returns.index)
        inputs = inputs.join(pd.get_dummies(groups, dtype=float))
        inputs = inputs.where(groups.notna() & returns.notna()).dropna()
        counts = groups[inputs.index].value_counts()
        inputs = inputs[groups[inputs.index].map(counts) > 1]
    else:
        inputs["intercept"] = 1.0
    inputs = inputs[inputs.notna().all(axis=1) & returns[inputs.index].notna()]
    if len(inputs) <= np.linalg.matrix_rank(inputs):
        return pd.Series(np.nan, returns.index)
    coef = np.linalg.lstsq(inputs, returns[inputs.index], rcond=None)[0]
    return (inputs @ coef).reindex(returns.index)


def learned_slowly(kind, X, y, label):
    """Labels that models learn, date by date, as the docstring says."""
    unit = table(X, "volatility_63", y) * np.sqrt(HORIZON)
    own = table(X, "idiosyncratic_volatility_63", y) * np.sqrt(HORIZON)
    betas = shrunken_betas(X, y)
    names = [name for name in kind if name != "group"] if kind not in KINDS[:2] else []
    learned = pd.DataFrame(np.nan, y.index, y.columns)
    usual = 10 * np.sqrt(
        (y[:-HORIZON].clip(-5 * unit, 5 * unit).where(unit.notna()) ** 2).mean()
    )
    for date in y.index[:-HORIZON]:
        bound = (5 * unit.loc[date]).fillna(usual)
        returns = y.loc[date].clip(-bound, bound)
        exposures = pd.DataFrame(
            {
                name: X.loc[date, [f"{t}__{name}" for t in y]].to_numpy(float)
                for name in names
            },
            y.columns,
        )
        if kind == "beta":
            level = betas.loc[date] * returns.mean()
        else:
            level = level_of_date(kind, returns, exposures)
        scaled = ((returns - level) / unit.loc[date]).clip(-5, 5)
        if label == "scaled":
            learned.loc[date] = scaled
            continue
        beyond = scaled * unit.loc[date] / own.loc[date].fillna(unit.loc[date])
        found = beyond.dropna()
        if len(found) >= 5:
            ranks = stats.rankdata(found)
            learned.loc[date, found.index] = stats.norm.ppf((ranks - 0.5) / len(found))
        else:
            learned.loc[date] = scaled
    return learned


@pytest.mark.parametrize(
    ("kind", "label"), list(zip(KINDS, ["rank", "scaled"] * 2, strict=True)), ids=str
)
def test_models_learn_what_is_left(frames, kind, label):
    X, y = frames[0][-110:], frames[1][-110:]
    make = lambda **more: BatchLinearForecaster(  # noqa: E731
        alpha=1e-3, target=ReturnTarget(**PLAIN, **more)
    )
    model = make(relative=kind, label=label).fit(X, y)
    found = model.predict(X)
    learned = learned_slowly(kind, X, y, label)
    learned.attrs["horizon"] = HORIZON
    expected = make(scale=None, relative=False).fit(X, learned).predict(X)
    expected *= table(X, "volatility_63", y) * np.sqrt(HORIZON)
    assert found.notna().sum().sum() > 900
    np.testing.assert_allclose(
        found, expected.where(found.notna()), rtol=2e-4, atol=1e-7
    )
    assert model.relative_to_ == ReturnTarget(relative=kind).relative_to


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_expected_of_the_market_is_added_back(frames, kind):
    X, y = frames
    with_market, without = (
        BatchLinearForecaster(
            alpha=1e-3, target=ReturnTarget(kind, **{**PLAIN, "market_weight": weight})
        )
        .fit(X, y)
        .predict(X)
        for weight in (1.0, 0.0)
    )
    unit = table(X, "volatility_63", y)
    share = (2 * unit).div(unit.median(axis=1), axis=0).clip(upper=1.0)
    betas = shrunken_betas(X, y) if kind == "beta" else 1.0
    added = (with_market - without) / (share * betas)
    mean = added.stack().mean()
    known = y[:-HORIZON].mean(axis=1).mean()  # of returns that are not winsorized
    assert mean == pytest.approx(known, abs=3e-4)
    np.testing.assert_allclose(added.where(added.notna(), mean), mean, rtol=1e-3)


def test_a_model_of_residuals_is_not_fooled_by_the_exposure(prices):
    """A planted premium of an exposure is learned, but not beside that exposure."""
    random = np.random.default_rng(0)
    exposure = pd.DataFrame(
        random.standard_normal((420, 10)), prices.index, prices.columns
    )
    X = SharedFeatureExtractor(["volatility"], [63]).fit_transform(
        join_signals(prices, {"tilt": exposure.where(prices.notna())})
    )
    y = forward_returns(prices, 1) + 0.004 * exposure
    y.attrs |= {"horizon": 1, "delay": 0}
    found = {}
    for kind in (True, ["tilt"]):
        model = BatchLinearForecaster(target=ReturnTarget(kind)).fit(X[:300], y[:300])
        forecasts = model.predict(X[300:-1])
        tilt = exposure[300:-1].where(forecasts.notna())
        found[str(kind)] = (forecasts * tilt).sum().sum() / (tilt**2).sum().sum()
    assert found["True"] > 0.001
    assert abs(found["['tilt']"]) < 0.05 * found["True"]


@pytest.mark.parametrize("kind", ["beta", "group", ["group", "volatility_63"]], ids=str)
def test_no_forecast_looks_ahead(prices, kind):
    model = BatchLinearForecaster(target=ReturnTarget(kind))
    pipeline = make_pipeline(extractor(), model)
    check_no_lookahead(pipeline, prices[["T000", "T001", "T004", "T005"]], n_cuts=1)


def test_groups_may_be_tables_or_signals(prices):
    sectors = pd.DataFrame(
        [[SECTORS.get(t) for t in prices]] * len(prices), prices.index, prices.columns
    )
    y = forward_returns(prices, HORIZON)
    panel = join_signals(prices, {"sector": sectors.where(prices.notna())})

    def forecast(table, **options):
        families = ["returns", "volatility"]
        X = SharedFeatureExtractor(families, [63, 252], **options)
        model = make_pipeline(X, BatchLinearForecaster(target=ReturnTarget("group")))
        return model.fit(table, y).predict(table)

    found = forecast(prices, groups=SECTORS)
    for table, groups in [(prices, sectors), (panel, "sector")]:
        other = forecast(table, groups=groups, signals=[])
        np.testing.assert_allclose(other, found, rtol=1e-6)
    # A signal that is a category groups by itself, and is an input in both.
    by_signal = forecast(panel)
    np.testing.assert_allclose(by_signal, forecast(panel, groups=SECTORS), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("group", "must find one grouping"),
        (["earnings"], "must find a ticker feature or grouping 'earnings'"),
        ([], "'relative' parameter"),
        ([1], "'relative' parameter"),
        ("market", "'relative' parameter"),
    ],
)
def test_what_is_not_there_is_refused(frames, kind, match):
    X, y = frames
    X = X[[name for name in X if not name.endswith("_grouping")]]
    with pytest.raises(ValueError, match=match):
        BatchLinearForecaster(target=ReturnTarget(kind)).fit(X, y)


def test_a_missing_beta_and_arrays_are_refused(frames):
    X, y = frames
    model = BatchLinearForecaster(target=ReturnTarget("beta"))
    with pytest.raises(ValueError, match="must find a feature beta_N in X"):
        model.fit(X[[name for name in X if "beta" not in name]], y)
    model.set_params(horizon=HORIZON)
    with pytest.raises(ValueError, match="Got no ticker features"):
        model.fit(X.to_numpy(), y.to_numpy())


def test_several_groupings_have_to_be_chosen_from(prices):
    both = {"sector": SECTORS, "country": dict.fromkeys(SECTORS, "x")}
    X, y = extractor(both).fit_transform(prices), forward_returns(prices, HORIZON)
    model = BatchLinearForecaster(target=ReturnTarget("group"))
    with pytest.raises(ValueError, match="sector_grouping, country_grouping"):
        model.fit(X, y)
    model.set_params(target__relative=["sector"]).fit(X, y)
    assert model.relative_to_ == "what sector explains"


def test_groups_are_no_inputs(frames):
    X, y = frames
    plain = X[[name for name in X if not name.endswith("_grouping")]]
    models = [
        BatchXGBoostForecaster(n_estimators=5).fit(table, y) for table in (X, plain)
    ]
    pd.testing.assert_frame_equal(models[0].predict(X), models[1].predict(plain))


@pytest.mark.parametrize("kind", ["beta", "group", ("group", "beta_252")])
def test_systems_and_files_have_it(prices, kind, tmp_path):
    config = BatchForecastingConfig(
        horizon=HORIZON,
        features={
            "families": ["returns", "volatility", "relative"],
            "windows": [63, 252],
            "groups": SECTORS,
        },
        model={"kind": "linear", "target": {"relative": kind}},
        fallback={"enabled": False},
    )
    (tmp_path / "settings.toml").write_text(config.to_toml())
    system = BatchForecastingConfig.from_file(tmp_path / "settings.toml").to_system()
    result = system.fit(prices).forecast()
    X, y = extractor().fit_transform(prices), forward_returns(prices, HORIZON)
    model = BatchLinearForecaster(target=ReturnTarget(kind)).fit(X, y)
    expected = model.predict(X).iloc[-1]
    np.testing.assert_allclose(
        result.expected_returns, expected[result.expected_returns.index], rtol=1e-5
    )
    relative_to = ReturnTarget(kind).relative_to
    assert result.to_frame().attrs["relative_to"] == relative_to


def test_the_target_is_found_inside_other_models():
    own = ReturnTarget(["volatility_63"], thin=3)
    model = BatchLinearForecaster(target=own)
    for outer in (
        make_pipeline(StandardScaler(), model),
        FallbackForecaster(make_pipeline(model)),
        GridSearchCV(BatchForecastingSystem(forecaster=model), {}),
    ):
        assert target_of(outer) is own
        assert relative_to(outer) == "what volatility_63 explains"
    assert relative_to(BatchForecastingSystem()) == "the market"
    for other in (LinearRegression(), None):
        assert target_of(other) is None
        assert relative_to(other) == ""


def test_batches_know_the_market_but_not_the_groups_of_others(prices):
    X, y = extractor().fit_transform(prices), forward_returns(prices, HORIZON)
    make = lambda kind: BatchLinearForecaster(  # noqa: E731
        "per_ticker", target=ReturnTarget(kind)
    )
    system = BatchForecastingSystem(
        HORIZON, features=extractor(), forecaster=make("beta"), max_batch_size=4
    )
    found = system.fit(prices).forecast().expected_returns
    expected = make("beta").fit(X, y).predict(X).iloc[-1]
    np.testing.assert_allclose(found, expected[found.index], rtol=1e-5)
    with pytest.raises(ValueError, match="fitted in batches"):
        system.set_params(forecaster=make("group")).fit(prices)


def test_parts_of_a_fallback_have_their_own(frames):
    X, y = frames
    model = FallbackForecaster(
        BatchLinearForecaster(target=ReturnTarget("group")),
        BatchLinearForecaster(target=ReturnTarget("beta")),
    ).fit(X, y)
    assert model.predict(X).iloc[-1].notna().all()
