"""The same rolling statistics in skbatch, coreforecast, polars, pandas; and a write."""

from __future__ import annotations

from measured import timed
from settings import STATISTICS, register_features

TITLE = "Features"
TEXT = (
    "Rolling mean, standard deviation and maximum of daily returns over 5, 10, 21, "
    "63, 126 and 252 rows, with at least half a window of values. *skbatch* goes from "
    "prices to a feature frame, without its cache; *skbatch engine* to an array. The "
    "other packages start from returns in the layout that suits them best. *Write* is "
    "numpy writing the same float32 bytes into new memory. *qlib's yardstick* is 14 "
    "features of 800 stocks over 14 years, from a file (147 s on one CPU and 8.8 s on "
    "64 in its documentation)."
)
WINDOWS = (5, 10, 21, 63, 126, 252)
SKBATCH = ["skbatch", "skbatch engine", "write"]
PEERS = ["coreforecast float32", "coreforecast float64", "polars", "pandas"]


def cases(quick: bool) -> list[dict]:
    sizes = [(50, 600)] if quick else [(500, 2520), (2000, 2520)]
    compared = [
        {"n_tickers": n, "n_dates": rows, "way": way, "peer": way in PEERS}
        for n, rows in sizes
        for way in SKBATCH + PEERS
    ]
    n, rows = (80, 700) if quick else (800, 3528)
    return [*compared, {"n_tickers": n, "n_dates": rows, "way": "qlib's yardstick"}]


def measure(case: dict, inputs: dict) -> dict:
    import pandas as pd

    if case["way"] == "qlib's yardstick":
        return _yardstick(inputs)
    prices = pd.read_parquet(inputs["wide"])
    if case["way"] in SKBATCH:
        work = _skbatch(case["way"], prices)
    else:
        work = _peer(case["way"], prices, inputs["threads"])
    seconds = timed(work)
    result = work()
    row = {"seconds": seconds}
    if case["way"] != "write":
        row["check"] = _check(case["way"], result, prices.shape[1])
    return row


def _skbatch(way: str, prices):
    """Give the work of skbatch, or of a write of its result."""
    import numpy as np

    from skbatch import SharedFeatureExtractor, check_panel
    from skbatch.feature_extraction._feature_source import FeatureSource

    register_features()
    extractor = SharedFeatureExtractor(["same windows"], WINDOWS, cache_size=0)
    if way == "skbatch":
        return lambda: extractor.fit_transform(prices)
    if way == "skbatch engine":
        plan, panel = extractor.fit(prices).plan_, check_panel(prices)
        return FeatureSource(plan, panel, np.arange(len(panel)), {}).compute
    values = extractor.fit_transform(prices).to_numpy()
    return lambda: values.copy()


def _peer(way: str, prices, threads: int):
    """Give the work of a peer, on returns in its own layout."""
    import numpy as np

    closes = prices.to_numpy()
    returns = closes[1:] / closes[:-1] - 1
    if way == "pandas":
        changes = prices.pct_change()
        return lambda: _pandas(changes)
    if way == "polars":
        import polars as pl

        names = [str(number) for number in range(returns.shape[1])]
        frame = pl.DataFrame(returns, schema=names)
        wanted = [
            getattr(pl.col(name), f"rolling_{statistic}")(
                window, min_samples=_least(window)
            ).alias(f"{statistic}_{window}_{name}")
            for statistic in STATISTICS
            for window in WINDOWS
            for name in names
        ]
        return lambda: frame.select(wanted)
    from coreforecast.grouped_array import GroupedArray

    values = returns.T.astype(way.split()[1]).ravel()
    starts = np.arange(returns.shape[1] + 1) * len(returns)
    grouped = GroupedArray(values, starts, threads)
    return lambda: _coreforecast(grouped)


def _pandas(frame) -> list:
    return [
        getattr(frame.rolling(window, min_periods=_least(window)), statistic)()
        for statistic in STATISTICS
        for window in WINDOWS
    ]


def _coreforecast(grouped) -> list:
    from coreforecast import lag_transforms

    transforms = [
        getattr(lag_transforms, f"Rolling{statistic.title()}")
        for statistic in STATISTICS
    ]
    return [
        transform(lag=0, window_size=window, min_samples=_least(window)).transform(
            grouped
        )
        for transform in transforms
        for window in WINDOWS
    ]


def _least(window: int) -> int:
    return (window + 1) // 2


def _check(way: str, result, n_tickers: int) -> list[float]:
    """Average each statistic over tickers at the last date."""
    import numpy as np

    if way == "pandas":
        last = [frame.iloc[-1].to_numpy() for frame in result]
    elif way == "polars":
        last = result.tail(1).to_numpy().reshape(-1, n_tickers)
    elif way.startswith("coreforecast"):
        last = [column.reshape(n_tickers, -1)[:, -1] for column in result]
    else:
        last = np.asarray(result)[-1].reshape(-1, n_tickers)
    return [float(np.mean(values, dtype=np.float64)) for values in last]


def _yardstick(inputs: dict) -> dict:
    """Read prices from their file, and make 14 features of each stock."""
    from skbatch import SharedFeatureExtractor, read_panel

    extractor = SharedFeatureExtractor(
        ["returns", "volatility", "trend"], [5, 10, 21, 63], cache_size=0
    )
    frame = extractor.fit_transform(read_panel(inputs["wide"]))
    n_features = len(extractor.plan_.ticker_names)
    seconds = timed(lambda: extractor.fit_transform(read_panel(inputs["wide"])), 3)
    return {"seconds": seconds, "features": n_features, "values": frame.size}


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    for n in dict.fromkeys(row["n_tickers"] for row in table):
        rows = [row for row in table if row["n_tickers"] == n and "seconds" in row]
        seconds = {row["way"]: row["seconds"] for row in rows}
        for way in ("skbatch", "skbatch engine"):
            for peer in PEERS[:2]:
                if {way, peer} <= set(seconds):
                    ratio = seconds[peer] / seconds[way]
                    text = f"{way} twice as fast as {peer}, {n} tickers"
                    found.append((text, ratio >= 2, f"{ratio:.2f} times as fast"))
            if {way, "write"} <= set(seconds):
                ratio = seconds[way] / seconds["write"]
                text = f"{way} within 10 times the write, {n} tickers"
                found.append((text, ratio <= 10, f"{ratio:.1f} times"))
        if "qlib's yardstick" in seconds:
            took = seconds["qlib's yardstick"]
            found.append(("yardstick under 1 s", took < 1, f"{took:.2f} s"))
        checks = {row["way"]: row["check"] for row in rows if "check" in row}
        others = [checks[peer] for peer in PEERS if peer in checks]
        if "skbatch" in checks and others:
            apart = max(_apart(checks["skbatch"], other) for other in others)
            text = f"the statistics agree, {n} tickers"
            found.append((text, apart < 1e-3, f"to {apart:.0e}"))
    return found


def _apart(own: list[float], other: list[float]) -> float:
    """Find the largest relative difference."""
    return max(abs(a / b - 1) for a, b in zip(own, other, strict=True))


def plot(axes, table: list[dict]) -> None:
    rows = [row for row in table if "seconds" in row and "features" not in row]
    sizes = list(dict.fromkeys(row["n_tickers"] for row in rows))
    for number, n in enumerate(sizes):
        ways = {row["way"]: row["seconds"] for row in rows if row["n_tickers"] == n}
        places = [i + 0.4 * number for i in range(len(ways))]
        axes.barh(places, list(ways.values()), 0.4, label=f"{n} tickers")
        axes.set_yticks(places, list(ways))
    axes.set(xscale="log", xlabel="seconds")
    axes.legend()
