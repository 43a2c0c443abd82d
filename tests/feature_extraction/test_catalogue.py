"""Every entry of the catalogue against a slow reference in pandas."""

import calendar
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from skbatch import SharedFeatureExtractor, check_panel
from skbatch.datasets import make_panel
from skbatch.feature_extraction import _extractor, _registry, list_features
from skbatch.feature_extraction._context import TickerBlock, Universe
from skbatch.feature_extraction._feature_plan import make_plan
from skbatch.feature_extraction._registry import catalogue, families
from skbatch.panel import split_column
from skbatch.panel.engine import panel_fields

WINDOWS = (5, 10, 21, 63, 126, 252)
# A panel without five years has no long-run returns.
pytestmark = pytest.mark.filterwarnings("ignore:`X` must have 1260 rows")


def half(window, at_least=2):
    return max(at_least, -(-window // 2))


def rolling(frame, window, at_least=2):
    return frame.rolling(window, min_periods=half(window, at_least))


def comoments(p, window):
    market = pd.DataFrame(dict.fromkeys(p.close, p.market)).where(p.ret.notna())
    own = rolling(p.ret, window, 3)
    return own.var(), rolling(market, window, 3).var(), own.cov(market, pairwise=False)


def beta(p, w):
    _, market, covariance = comoments(p, w)
    return covariance / market


def correlation(p, w):
    own, market, covariance = comoments(p, w)
    return covariance / np.sqrt(own * market)


def idiosyncratic_volatility(p, w):
    own, market, covariance = comoments(p, w)
    n = p.ret.notna().rolling(w, min_periods=1).sum()
    return np.sqrt((own - covariance**2 / market) * (n - 1) / (n - 2))


def rsi(p, w):
    change = p.close.diff()
    rise = change.clip(lower=0).ewm(alpha=1 / w, ignore_na=False).mean()
    fall = (-change).clip(lower=0).ewm(alpha=1 / w, ignore_na=False).mean()
    return (100 - 100 / (1 + rise / fall)).where(rolling(change, w).mean().notna())


def macd(p, _=None):
    fast, slow = (
        p.close.ewm(span=span, ignore_na=False)
        .mean()
        .where(rolling(p.close, span).mean().notna())
        for span in (12, 26)
    )
    return (fast - slow) / p.close


def macd_histogram(p, _):
    line = macd(p)
    signal = line.ewm(span=9, ignore_na=False).mean()
    return line - signal.where(rolling(line, 9).mean().notna())


def channel_position(p, w):
    low, high = rolling(p.close, w).min(), rolling(p.close, w).max()
    return (p.close - low) / (high - low)


def bollinger(p, w):
    closes = rolling(p.close, w)
    return (p.close - closes.mean()) / closes.std(ddof=0)


def true_range(p, w):
    last = p.close.shift()
    high = p.high.where(p.high > last, last).where(p.high.notna() & last.notna())
    low = p.low.where(p.low < last, last).where(p.low.notna() & last.notna())
    return rolling(high - low, w).mean() / p.close


def garman_klass_volatility(p, w):
    spread, body = np.log(p.high / p.low), np.log(p.close / p.open)
    daily = 0.5 * spread**2 - (2 * np.log(2) - 1) * body**2
    return rolling(daily, w).mean().clip(lower=0) ** 0.5


def rank(values):
    number = values.count(axis=1)
    return (values.rank(axis=1) - 1).div(number.where(number > 1) - 1, axis=0) - 0.5


def group_gap(p, values):
    return values - values.T.groupby(p.groups).transform("mean").T


def group_rank(p, values):
    grouped = values.T.groupby(p.groups)
    number = grouped.transform("count").T
    return (grouped.rank().T - 1) / (number.where(number > 1) - 1) - 0.5


def market_return(p, w):
    total = np.log1p(p.market).rolling(w, min_periods=half(w, min(w, 2))).sum()
    return total.where(p.market.notna())


def market_drawdown(p, w):
    level = (1 + p.market.fillna(0)).cumprod()
    fall = level / level.rolling(w, min_periods=1).max() - 1
    return fall.where(market_return(p, w).notna())


def dispersion(p, w):
    daily = p.ret.std(axis=1)
    return daily.rolling(w, min_periods=half(w, 1)).mean().where(daily.notna())


def average_correlation(p, w):
    """By the variance ratio; exact values are tested below on a panel without gaps."""
    deviations = TICKER["volatility"](p, w).where(p.close.notna())
    n = deviations.count(axis=1)
    squares = (deviations**2).sum(axis=1)
    market = rolling(p.log_ret.mean(axis=1), w).var()
    ratio = (n**2 * market - squares) / (deviations.sum(axis=1) ** 2 - squares)
    return ratio.clip(-1, 1).where(n >= 2)


def breadth(p, w):
    average = rolling(p.close, w).mean().where(p.close.notna())
    return (p.close > average).where(average.notna()).astype(float).mean(axis=1)


def residual_momentum(p, w):
    def ratio(r, markets):
        slope, level = np.polyfit(markets[0], r, 1)
        rest = r - level - slope * markets[0]
        return level / np.sqrt(np.sum(rest**2) / (len(r) - 2))

    return window_statistics(p, w - 21, 21, 1, ratio)


def coskewness(p, w):
    def ratio(r, markets):
        rest = r - np.polyval(np.polyfit(markets[0], r, 1), markets[0])
        square = (markets[0] - markets[0].mean()) ** 2
        scale = np.sqrt(np.mean(rest**2)) * np.mean(square)
        return np.mean(rest * square) / scale

    return window_statistics(p, w, 0, 1, ratio)


def price_delay(p, w):
    def share(r, markets):
        def explained(regressors):
            design = np.column_stack([np.ones(len(r)), *regressors])
            rest = r - design @ np.linalg.lstsq(design, r, rcond=None)[0]
            return 1 - np.sum(rest**2) / np.sum((r - r.mean()) ** 2)

        return 1 - explained(markets[:1]) / explained(markets)

    return window_statistics(p, w, 0, 5, share)


def window_statistics(p, rows, until, n_lags, statistic):
    """Compute a statistic of each window's returns and the market's, one by one."""
    returns = p.ret.shift(until).to_numpy()
    market = p.market.shift(until)
    markets = np.stack([market.shift(k) for k in range(n_lags)])
    known = np.isfinite(returns) & np.isfinite(markets).all(axis=0)[:, None]
    out = np.full(returns.shape, np.nan)
    for row, ticker in np.argwhere(p.close.notna().to_numpy()):
        at = np.flatnonzero(known[: row + 1, ticker])
        at = at[at > row - rows]
        if len(at) >= half(rows, 3):
            out[row, ticker] = statistic(returns[at, ticker], markets[:, at])
    return pd.DataFrame(out, p.ret.index, p.ret.columns)


def zero_trade_share(p, w):
    no_trade = (p.volume == 0).astype(float).where(p.volume.notna())
    return rolling(no_trade, w).mean()


def volume_volatility(p, w):
    values = np.log((p.close * p.volume).where(p.volume > 0))
    return rolling(values, w).std()


def residual_return(p, _):
    return p.ret - beta(p, 252).mul(p.market, axis=0)


TICKER = {
    "log_return": lambda p, w: np.log(p.close / p.close.shift(w)),
    "momentum": lambda p, w: np.log(p.close.shift(21) / p.close.shift(w)),
    "volatility": lambda p, w: rolling(p.log_ret, w).std(),
    "downside_volatility": lambda p, w: (
        rolling(p.log_ret.clip(upper=0) ** 2, w).mean() ** 0.5
    ),
    "skewness": lambda p, w: rolling(p.log_ret, w, 3).skew(),
    "largest_return": lambda p, w: rolling(p.ret, w).max(),
    "sma_gap": lambda p, w: np.log(p.close / rolling(p.close, w).mean()),
    "channel_position": channel_position,
    "drawdown": lambda p, w: p.close / rolling(p.close, w).max() - 1,
    "rsi": rsi,
    "macd": macd,
    "macd_histogram": macd_histogram,
    "bollinger": bollinger,
    "beta": beta,
    "correlation": correlation,
    "idiosyncratic_volatility": idiosyncratic_volatility,
    "relative_strength": lambda p, w: np.log(p.close / p.close.shift(w)).sub(
        rolling(np.log1p(p.market), w).sum(), axis=0
    ),
    "overnight_return": lambda p, _: np.log(p.open / p.close.shift()),
    "intraday_return": lambda p, _: np.log(p.close / p.open),
    "mean_overnight_return": lambda p, w: rolling(
        np.log(p.open / p.close.shift()), w
    ).mean(),
    "mean_intraday_return": lambda p, w: rolling(np.log(p.close / p.open), w).mean(),
    "close_location": lambda p, _: (p.close - p.low) / (p.high - p.low),
    "true_range": true_range,
    "parkinson_volatility": lambda p, w: (
        (rolling(np.log(p.high / p.low) ** 2, w).mean() / (4 * np.log(2))) ** 0.5
    ),
    "garman_klass_volatility": garman_klass_volatility,
    "volume_ratio": lambda p, w: np.log(
        (p.volume / rolling(p.volume, w).mean()).where(p.volume > 0)
    ),
    "dollar_volume": lambda p, w: np.log(rolling(p.close * p.volume, w).mean()),
    "amihud": lambda p, w: np.log(
        rolling((p.ret.abs() / (p.close * p.volume)).where(p.volume > 0), w).mean()
    ),
    "rank_log_return": lambda p, w: rank(own("log_return", p, w)),
    "rank_momentum": lambda p, w: rank(own("momentum", p, w)),
    "rank_volatility": lambda p, w: rank(own("volatility", p, w)),
    "rank_largest_return": lambda p, w: rank(own("largest_return", p, w)),
    "rank_dollar_volume": lambda p, w: rank(own("dollar_volume", p, w)),
    "group_log_return": lambda p, w: group_gap(p, own("log_return", p, w)),
    "group_momentum": lambda p, w: group_gap(p, own("momentum", p, w)),
    "group_volatility": lambda p, w: group_gap(p, own("volatility", p, w)),
    "group_rank_log_return": lambda p, w: group_rank(p, own("log_return", p, w)),
    "group_rank_momentum": lambda p, w: group_rank(p, own("momentum", p, w)),
    "intermediate_momentum": lambda p, w: np.log(
        p.close.shift(w // 2) / p.close.shift(w)
    ),
    "long_run_return": lambda p, w: np.log(p.close.shift(252) / p.close.shift(w)),
    "residual_momentum": residual_momentum,
    "coskewness": coskewness,
    "price_delay": price_delay,
    "zero_trade_share": zero_trade_share,
    "volume_volatility": volume_volatility,
    "residual_return": residual_return,
    "rank_return": lambda p, w: rank(own("log_return", p, w)),
    "rank_residual_return": lambda p, w: rank(own("residual_return", p, w)),
}
MARKET = {
    "log_return": market_return,
    "volatility": lambda p, w: (
        rolling(np.log1p(p.market), w).std().where(p.market.notna())
    ),
    "drawdown": market_drawdown,
    "dispersion": dispersion,
    "average_correlation": average_correlation,
    "breadth": breadth,
    "day_of_week": lambda p, _: by_date(p, lambda date: date.weekday()),
    "day_of_month": lambda p, _: by_date(p, lambda date: date.day),
    "month": lambda p, _: by_date(p, lambda date: date.month),
    "days_to_month_end": lambda p, _: by_date(
        p, lambda date: calendar.monthrange(date.year, date.month)[1] - date.day
    ),
    "days_since_last_row": lambda p, _: (
        p.close.index.to_series().diff().dt.total_seconds() / 86400
    ),
}


def own(name, p, window):
    """Give a base feature as the extractor does: without a price there is none."""
    return TICKER[name](p, window).where(p.close.notna())


def by_date(p, function):
    return pd.Series([function(date.date()) for date in p.close.index], p.close.index)


def reference_inputs(panel, groups):
    fields = {name.lower(): panel[name] for name in panel.columns.unique(0)}
    close = fields["close"]
    ret = close / close.shift() - 1
    return SimpleNamespace(
        **fields,
        ret=ret,
        log_ret=np.log(close).diff(),
        market=ret.clip(-0.5, 0.5).mean(axis=1),
        groups=pd.Series(groups).reindex(close.columns),
    )


ALL = {"open", "high", "low", "close", "volume", "dates", "groups"}
CHOSEN = ["default", "anomalies"]
PLAN = make_plan(CHOSEN, WINDOWS, frozenset(ALL), ["T0"], {}, ())
FEATURES = [
    pytest.param(
        f, id=f"{'market' if f in PLAN.market_features else 'ticker'}-{f.name}"
    )
    for f in PLAN.features
]


@pytest.fixture(scope="module")
def frame(ohlcv, groups):
    extractor = SharedFeatureExtractor(CHOSEN, groups=groups, cache_size=0)
    return extractor.fit_transform(ohlcv)


@pytest.fixture(scope="module")
def inputs(ohlcv, groups):
    return reference_inputs(ohlcv, groups)


@pytest.fixture
def long_panel(feature, make_ohlcv):
    """Give a longer panel, of few tickers, to a feature that looks back further."""
    if feature.lookback > 400:
        return make_ohlcv(0, n_dates=2 * feature.lookback, n_tickers=5)
    return None


@pytest.mark.parametrize("feature", FEATURES)
def test_feature_is_that_of_the_reference(feature, frame, inputs, long_panel, groups):
    if long_panel is not None:
        frame = SharedFeatureExtractor([feature.entry.family]).fit_transform(long_panel)
        inputs = reference_inputs(long_panel, groups)
    name = feature.entry.function.__name__
    if feature.entry.scope == "market":
        actual = frame[f"market__{feature.name}"]
        expected = MARKET[name](inputs, feature.window)
    else:
        columns = [f"{ticker}__{feature.name}" for ticker in inputs.close]
        actual = frame[columns]
        expected = TICKER[name](inputs, feature.window).where(inputs.close.notna())
    assert np.isfinite(expected.to_numpy()).mean() > 0.1
    np.testing.assert_allclose(
        actual.to_numpy(), expected.to_numpy(dtype=float), rtol=2e-5, atol=2e-6
    )


def test_every_entry_has_a_reference():
    entries = {(e.scope == "market", e.function.__name__) for e in catalogue()}
    references = {(False, name) for name in TICKER} | {(True, name) for name in MARKET}
    assert entries == references


def test_every_entry_documents_its_formula():
    for entry in catalogue():
        text = entry.function.__doc__
        assert ".. math::" in text or "see ``" in text or entry.family == "calendar", (
            f"{entry.function.__name__} must say how it is computed."
        )


@pytest.mark.parametrize("feature", FEATURES)
def test_declared_look_back_is_enough(feature, make_ohlcv):
    panel = (
        check_panel(make_ohlcv(1, max(390, feature.lookback + 8), 4)).ffill().bfill()
    )
    needed = panel.iloc[-feature.lookback - 1 :]
    assert len(needed) < len(panel)
    whole, part = last_values(feature, panel), last_values(feature, needed)
    assert np.isfinite(whole).any()
    np.testing.assert_array_equal(part, whole)


def last_values(feature, panel):
    """Compute the last row as the engine does, before it is rounded to float32."""
    groups = {"group": np.array([0, 1, 0, 1])}
    universe = Universe(panel_fields(panel), panel.index, groups)
    is_own = feature.entry.scope == "ticker"
    context = TickerBlock(universe, slice(0, 4)) if is_own else universe
    with np.errstate(all="ignore"):
        return feature.compute(context)[-1]


def test_average_correlation_is_the_weighted_mean_of_all_pairs(make_ohlcv):
    closes = make_ohlcv(2, missing=0.0)["Close"].iloc[:, 4:]
    frame = SharedFeatureExtractor(["market"]).fit_transform(closes)
    returns = np.log(closes).diff().iloc[-63:]
    weights = np.outer(returns.std(), returns.std())
    off_diagonal = ~np.eye(len(weights), dtype=bool)
    expected = np.average(
        returns.corr().to_numpy()[off_diagonal], weights=weights[off_diagonal]
    )
    actual = frame["market__average_correlation_63"].iloc[-1]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_default_panel_sizes(ohlcv):
    closes = SharedFeatureExtractor().fit(ohlcv["Close"]).plan_
    fields = SharedFeatureExtractor().fit(ohlcv).plan_
    market = [f for f in closes.market_features if f.entry.family == "market"]
    assert len(closes.ticker_features) >= 40
    assert len(market) >= 12
    assert len(fields.ticker_features) - len(closes.ticker_features) >= 15


def test_the_list_of_features_is_that_of_the_columns(frame):
    features = list_features()
    names = list(features.index[~features["shared"]])
    shared = list(features.index[features["shared"]])
    columns = dict.fromkeys(split_column(column)[1] for column in frame)
    assert names == list(columns)[: len(names)]
    assert [f"market__{name}" for name in shared] == list(frame)[-len(shared) :]
    assert features["summary"].str.endswith(".").all()
    assert features["lookback"][features["default"]].max() == 382


def test_one_entry_is_all_that_a_feature_takes(ohlcv, monkeypatch):
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))

    @_registry.feature("novelties", windows=(5, 10), lookback=lambda w: 500 + w)
    def doubled_close(block, window):
        """Close times two and the window."""
        return 2.0 * window * block.close

    # Names of families are read when the module is imported, after the catalogue.
    monkeypatch.setattr(_extractor._FAMILY, "options", {"default", *families()})
    model = SharedFeatureExtractor(["novelties"]).fit(ohlcv)
    assert model.lookback_ == 510
    frame = model.transform(ohlcv)
    assert list(frame)[::8] == ["T0__doubled_close_5", "T0__doubled_close_10"]
    expected = 20 * ohlcv["Close"]["T5"]
    np.testing.assert_allclose(frame["T5__doubled_close_10"], expected, rtol=1e-6)
    assert "doubled_close_5" in list_features().index


def test_a_price_that_is_off_by_a_factor_hardly_moves_the_market():
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((80, 50))
    prices = pd.DataFrame(np.exp(np.cumsum(returns, axis=0)))
    prices.columns = [f"T{number}" for number in range(50)]
    wrong = prices.copy()
    wrong.iloc[70, 0] /= 100
    extractor = SharedFeatureExtractor(["relative", "market"], windows=[63])
    # One of 50 tickers moves the mean by at most 1% a day, instead of by 200%.
    clean = extractor.fit_transform(prices)["market__log_return_1"]
    moved = extractor.fit_transform(wrong)["market__log_return_1"]
    assert 0.009 < (moved - clean).abs().max() < 0.011


@pytest.mark.parametrize("hour", [0, 16])
def test_clocks_that_change_change_no_feature(hour):
    """A weekend on which they do has 71 or 73 hours of rest."""
    closes = make_panel(500, 4, random_state=0)
    expected = SharedFeatureExtractor().fit_transform(closes)
    dates = (closes.index + pd.Timedelta(hours=hour)).tz_localize("America/New_York")
    actual = SharedFeatureExtractor().fit_transform(closes.set_axis(dates))
    np.testing.assert_array_equal(actual, expected)
