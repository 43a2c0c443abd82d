"""The same task in each package: read prices, make features, fit, forecast 5 rows.

Each way is a function of the files, the threads and whether the settings are the same
for all or the package's own. It gives the expected simple returns over 5 rows, in
alphabetic order of the tickers. Imports are inside: each runs in its own environment.
"""

from __future__ import annotations

import numpy as np
from settings import HORIZON, LAGS, STATISTICS, TREES, WINDOWS, register_features

N_REFITS, STEP = 12, 21
N_ORIGINS, REFIT_EVERY = 201, 63
LEAF = "min_child_weight"


def skbatch_model(same: bool, threads: int, target: str = "auto"):
    """Make the pipeline from prices to forecasts."""
    from sklearn.pipeline import make_pipeline

    from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor
    from skbatch.forecasting import ReturnTarget

    if not same:
        return make_pipeline(
            SharedFeatureExtractor(), BatchXGBoostForecaster(n_jobs=threads)
        )
    if not _REGISTERED:
        register_features()
        _REGISTERED.append(True)
    return make_pipeline(
        SharedFeatureExtractor(["same lags", "same windows"], WINDOWS),
        BatchXGBoostForecaster(
            **{name: value for name, value in TREES.items() if name != LEAF},
            xgb_params={LEAF: TREES[LEAF]},
            target=ReturnTarget(
                relative=False,
                scale=None,
                market_weight=1.0,
                thin=1,
                validation_size=0,
            ),
            n_jobs=threads,
        ),
    )


_REGISTERED: list[bool] = []


def skbatch(files: dict, threads: int, same: bool, horizon: int = HORIZON):
    from skbatch import forward_returns, read_panel

    prices = read_panel(files["wide"])
    labels = forward_returns(prices, horizon)
    if same:  # the peers drop rows without a full window, too
        labels.iloc[: max(WINDOWS)] = np.nan
    model = skbatch_model(same, threads).fit(prices, labels)
    return model.predict(prices.iloc[[-1]]).iloc[0].sort_index()


def skbatch_system(files: dict, threads: int, same: bool, horizon: int = HORIZON):
    from skbatch import BatchForecastingSystem, read_panel

    prices = read_panel(files["wide"])
    system = BatchForecastingSystem(horizon).fit(prices)
    return system.forecast().expected_returns.sort_index()


def skbatch_walk(files: dict, threads: int, same: bool):
    from skbatch import read_panel, walk_forward

    prices = read_panel(files["wide"])
    # The first forecast of each refit uses what a peer's refit has: the rows before
    # the test rows of the peer, and the last of these to forecast from.
    starts = len(prices) - STEP * np.arange(N_REFITS, 0, -1) - 1
    first = max(WINDOWS) if same else 0
    folds = [(np.arange(first, s), np.arange(s, s + STEP)) for s in starts]
    walk = walk_forward(
        skbatch_model(same, threads), prices, horizon=HORIZON, cv=folds, benchmarks={}
    )
    return walk.forecasts.loc[prices.index[starts]].sort_index(axis=1)


def skbatch_origins(files: dict, threads: int):
    from skbatch import read_panel, walk_forward

    prices = read_panel(files["wide"])
    first = len(prices) - HORIZON - N_ORIGINS
    stop = first + N_ORIGINS
    folds = [
        (np.arange(start), np.arange(start, min(start + REFIT_EVERY, stop)))
        for start in range(first, stop, REFIT_EVERY)
    ]
    model = skbatch_model(False, threads)
    walk = walk_forward(model, prices, horizon=HORIZON, cv=folds, benchmarks={})
    return walk.forecasts.sort_index(axis=1)


def _regressor(same: bool, threads: int):
    from xgboost import XGBRegressor

    return XGBRegressor(**(TREES if same else {}), n_jobs=threads)


def _mlforecast(files: dict, threads: int, same: bool):
    """Make the forecaster and the returns it is fitted on."""
    import polars as pl
    from mlforecast import MLForecast, lag_transforms

    frame = pl.read_parquet(files["long"])
    change = pl.col("close") / pl.col("close").shift(1).over("unique_id") - 1
    frame = frame.select("unique_id", "ds", y=change.cast(pl.Float32)).drop_nulls("y")
    transforms = [
        getattr(lag_transforms, f"Rolling{statistic.title()}")(window)
        for statistic in STATISTICS
        for window in WINDOWS
    ]
    forecaster = MLForecast(
        {"model": _regressor(same, threads)},
        freq=1,
        lags=LAGS,
        lag_transforms={1: transforms},
        num_threads=threads,
    )
    options = {
        "static_features": [],
        "as_numpy": True,
        "keep_last_n": max(WINDOWS) + max(LAGS),
    }
    return forecaster, frame, options


def mlforecast(files: dict, threads: int, same: bool, horizon: int = HORIZON):
    forecaster, frame, options = _mlforecast(files, threads, same)
    forecaster.fit(frame, validate_data=False, **options)
    steps = forecaster.predict(horizon)
    return _compound(steps["model"].to_numpy().reshape(-1, horizon))


def mlforecast_walk(files: dict, threads: int, same: bool):
    forecaster, frame, options = _mlforecast(files, threads, same)
    table = forecaster.cross_validation(
        frame,
        n_windows=N_REFITS,
        h=STEP,
        step_size=STEP,
        refit=True,
        validate_data=False,
        **options,
    ).sort("cutoff", "unique_id", "ds")
    steps = table["model"].to_numpy().reshape(N_REFITS, -1, STEP)
    return _compound(steps[:, :, :HORIZON])


def mlforecast_origins(files: dict, threads: int):
    forecaster, frame, options = _mlforecast(files, threads, False)
    table = forecaster.cross_validation(
        frame,
        n_windows=N_ORIGINS,
        h=HORIZON,
        step_size=1,
        refit=REFIT_EVERY,
        validate_data=False,
        **options,
    ).sort("cutoff", "unique_id", "ds")
    return _compound(table["model"].to_numpy().reshape(N_ORIGINS, -1, HORIZON))


def _skforecast(files: dict, threads: int, same: bool):
    """Make the forecaster and the returns it is fitted on."""
    import pandas as pd
    from skforecast.preprocessing import RollingFeatures
    from skforecast.recursive import ForecasterRecursiveMultiSeries

    frame = pd.read_parquet(files["wide"]).pct_change(fill_method=None).iloc[1:]
    frame = frame.sort_index(axis=1).set_axis(pd.RangeIndex(len(frame)), axis=0)
    pairs = [(s, w) for s in STATISTICS for w in WINDOWS]
    rolling = RollingFeatures(
        stats=[s for s, _ in pairs], window_sizes=[w for _, w in pairs]
    )
    forecaster = ForecasterRecursiveMultiSeries(
        _regressor(same, threads),
        lags=list(LAGS),
        window_features=rolling,
        **({"encoding": None} if same else {}),
    )
    return forecaster, frame


def skforecast(files: dict, threads: int, same: bool, horizon: int = HORIZON):
    forecaster, frame = _skforecast(files, threads, same)
    forecaster.fit(frame, suppress_warnings=True)
    steps = forecaster.predict(horizon, suppress_warnings=True)
    return _compound(steps["pred"].to_numpy().reshape(horizon, -1).T)


def skforecast_walk(files: dict, threads: int, same: bool):
    from skforecast.model_selection import (
        TimeSeriesFold,
        backtesting_forecaster_multiseries,
    )

    forecaster, frame = _skforecast(files, threads, same)
    folds = TimeSeriesFold(
        steps=STEP,
        initial_train_size=len(frame) - N_REFITS * STEP,
        refit=True,
        fixed_train_size=False,
    )
    _, table = backtesting_forecaster_multiseries(
        forecaster,
        frame,
        folds,
        metric="mean_absolute_error",
        n_jobs=1,  # the threads are XGBoost's, as in the other packages
        show_progress=False,
        suppress_warnings=True,
    )
    steps = table.set_index("level", append=True)["pred"].unstack("level")
    steps = steps.sort_index(axis=1).to_numpy().reshape(N_REFITS, STEP, -1)
    return _compound(steps[:, :HORIZON].transpose(0, 2, 1))


def skforecast_origins(files: dict, threads: int):
    from skforecast.model_selection import (
        TimeSeriesFold,
        backtesting_forecaster_multiseries,
    )

    forecaster, frame = _skforecast(files, threads, False)
    folds = TimeSeriesFold(
        steps=HORIZON,
        initial_train_size=len(frame) - N_ORIGINS - HORIZON + 1,
        fold_stride=1,
        refit=REFIT_EVERY,
        fixed_train_size=False,
        allow_incomplete_fold=False,
    )
    _, table = backtesting_forecaster_multiseries(
        forecaster,
        frame,
        folds,
        metric="mean_absolute_error",
        n_jobs=1,
        show_progress=False,
        suppress_warnings=True,
    )
    table = table.rename_axis("row").reset_index()
    table = table.sort_values(["fold", "level", "row"], kind="stable")
    return _compound(table["pred"].to_numpy().reshape(N_ORIGINS, -1, HORIZON))


def _compound(returns: np.ndarray) -> np.ndarray:
    """Turn returns of the last axis' steps into one over all of them."""
    return np.expm1(np.log1p(returns.astype(np.float64)).sum(axis=-1))
