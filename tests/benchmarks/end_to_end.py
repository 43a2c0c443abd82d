"""From a file of prices to forecasts: skbatch, mlforecast, skforecast."""

from __future__ import annotations

from report import scale_by_tickers

TITLE = "End to end"
TEXT = (
    "From prices in Parquet to features, one model fitted on all tickers, and a "
    "forecast of 5 rows, on 5 years. *Same* settings: 5 lags and 15 rolling "
    "statistics of the daily return, the same trees on the same rows, float32 where "
    "the package allows it. *Own* settings: each package's defaults; the peers get "
    "the same lags and windows, since they have no default ones. At horizon 1 the "
    "problem is identical to the last row, so the forecasts should agree."
)
WAYS = {"skbatch": False, "mlforecast": True, "skforecast": True}


def cases(quick: bool) -> list[dict]:
    sizes = [20, 40] if quick else [100, 500, 2000]
    size = {"n_dates": 600 if quick else 1260}
    found = []
    for n in sizes:
        for settings in ("same", "own"):
            for way, peer in WAYS.items():
                case = {"n_tickers": n, **size, "settings": settings, "horizon": 5}
                found.append({**case, "way": way, "peer": peer})
        case = {"n_tickers": n, **size, "settings": "own", "horizon": 5}
        found.append({**case, "way": "skbatch system"})
    case = {"n_tickers": sizes[0], **size, "settings": "same", "horizon": 1}
    return found + [{**case, "way": way, "peer": WAYS[way]} for way in WAYS]


def measure(case: dict, inputs: dict) -> dict:
    import ways
    import xgboost as xgb
    from measured import count_training, measured

    run = getattr(ways, case["way"].replace(" ", "_"))
    arguments = inputs["threads"], case["settings"] == "same", case["horizon"]
    run(inputs["small"], *arguments)
    counts = count_training(xgb)
    forecasts, usage = measured(run, inputs, *arguments)
    return {**usage, **counts, "forecasts": forecasts}


def scores(case: dict, forecasts, inputs: dict) -> dict:
    """Score forecasts against what came after the last row."""
    import pandas as pd

    from skbatch.metrics import out_of_sample_r2, rank_information_coefficient

    future = pd.read_parquet(inputs["future"])
    actual = (future.iloc[[case["horizon"]]] / future.iloc[0].to_numpy() - 1).to_numpy()
    table = forecasts.reshape(1, -1)
    return {
        "rank IC": rank_information_coefficient(actual, table),
        "MAE %": 100 * abs(actual - table).mean(),
        "R² %": 100 * out_of_sample_r2(actual, table),
    }


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    keys = dict.fromkeys(
        (row["n_tickers"], row["settings"]) for row in table if row["horizon"] != 1
    )
    for n, settings in keys:
        rows = {
            row["way"]: row
            for row in table
            if (row["n_tickers"], row["settings"]) == (n, settings)
            and row["horizon"] != 1
            and "seconds" in row
        }
        for peer in ("mlforecast", "skforecast"):
            if not {"skbatch", peer} <= set(rows):
                continue
            own, other = rows["skbatch"], rows[peer]
            told = f"{n} tickers, {settings} settings"
            ratio = other["seconds"] / own["seconds"]
            found.append(
                (f"faster than {peer}, {told}", ratio > 1, f"{ratio:.2f} times as fast")
            )
            if "peak MiB" in own:
                share = own["peak MiB"] / other["peak MiB"]
                added = own["added MiB"] / max(other["added MiB"], 1)
                text = f"half the peak of {peer}, {told}"
                told = f"{share:.2f} of its peak, {added:.2f} of what it adds"
                found.append((text, share <= 0.5, told))
    return found


def plot(axes, table: list[dict]) -> None:
    rows = [row for row in table if row.get("seconds") and row["horizon"] != 1]
    for way in dict.fromkeys(row["way"] for row in rows):
        for settings, style in (("same", "o-"), ("own", "o--")):
            chosen = [r for r in rows if (r["way"], r["settings"]) == (way, settings)]
            if chosen:
                axes.plot(
                    [row["n_tickers"] for row in chosen],
                    [row["seconds"] for row in chosen],
                    style,
                    label=f"{way}, {settings}",
                )
    scale_by_tickers(axes, table)
    axes.legend(fontsize=7)
