"""A grid search beside the bare fits of its models."""

from __future__ import annotations

TITLE = "Tuning"
TEXT = (
    "GridSearchCV of 4 model settings over a pipeline, from prices, on 5 folds of "
    "TimeSeriesSplit, without the last refit; beside it, the same 20 model fits "
    "alone, on features computed beforehand, in the same process, which share nothing. "
    "Times are CPU seconds. Features, and forecasts of the test rows, are the search's "
    "alone."
)
GRID = {
    "batchxgboostforecaster__max_depth": [3, 5],
    "batchxgboostforecaster__learning_rate": [0.03, 0.1],
}


def cases(quick: bool) -> list[dict]:
    sizes = [(10, 600)] if quick else [(50, 1512), (500, 1512)]
    return [{"n_tickers": n, "n_dates": rows} for n, rows in sizes]


def measure(case: dict, inputs: dict) -> dict:
    import pandas as pd
    from measured import measured
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, ParameterGrid, TimeSeriesSplit
    from sklearn.pipeline import make_pipeline

    from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor, forward_returns
    from skbatch.feature_extraction import cache_info, clear_cache

    prices = pd.read_parquet(inputs["wide"])
    labels = forward_returns(prices, 5)
    folds = TimeSeriesSplit(5)
    model = make_pipeline(
        SharedFeatureExtractor(), BatchXGBoostForecaster(n_jobs=inputs["threads"])
    )
    train = [rows for rows, _ in folds.split(prices)]
    frames = [model[0].fit_transform(prices.iloc[rows]) for rows in train]
    model[1].fit(frames[0], labels.iloc[train[0]])  # loads what first use loads

    def fit_bare() -> None:
        for frame, rows in zip(frames, train, strict=True):
            for parameters in ParameterGrid(GRID):
                clear_cache()  # a search shares quantized matrices, single fits do not
                candidate = clone(model).set_params(**parameters)
                candidate[-1].fit(frame, labels.iloc[rows])

    search = GridSearchCV(model, GRID, cv=folds, refit=False, error_score="raise")
    _, bare = measured(fit_bare)
    clear_cache()
    _, whole = measured(search.fit, prices, labels)
    extractions = cache_info().extractions
    # One of the training rows and one of the test rows of each fold.
    if extractions != 2 * folds.get_n_splits():
        raise AssertionError(f"{extractions} extractions in {len(train)} folds")
    return {
        "bare fits CPU s": bare["CPU seconds"],
        "search CPU s": whole["CPU seconds"],
        "beyond %": 100 * (whole["CPU seconds"] / bare["CPU seconds"] - 1),
        "extractions": extractions,
        "best score": float(search.cv_results_["mean_test_score"].max()),
    }


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    for row in table:
        if "beyond %" in row:
            n, beyond = row["n_tickers"], row["beyond %"]
            text = f"at most 10% beyond the bare fits, {n} tickers"
            found.append((text, beyond <= 10, f"{beyond:.1f}%"))
            text = f"each fold extracted once, {n} tickers"
            told = f"{row['extractions']:.0f}, of training and test rows of 5 folds"
            found.append((text, row["extractions"] == 10, told))
    return found
