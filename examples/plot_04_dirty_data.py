"""
Dirty data: screening, quarantine, fallback
===========================================

Price files contain prices that stand still, series that end without notice, zeros,
duplicates and unadjusted splits. Here, several tickers are corrupted on purpose, each
in a different way, and one makes the model itself fail. In the end, every ticker has a
forecast or a reason why there is none.
"""

# %%
# Corrupt the prices
# ------------------

import warnings
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    walk_forward,
)
from skbatch.datasets import load_sp500_prices
from skbatch.exceptions import ModelFitError
from skbatch.model_selection import ProvenanceDisplay

prices = load_sp500_prices().iloc[-1000:]  # four years of 20 real stocks
dirty = prices.copy()
last = dirty.index
dirty.loc[last[-40:], "BBY"] = dirty.loc[last[-41], "BBY"]  # the feed stands still
dirty.loc[last[-30:], "JNJ"] = np.nan  # the feed ended
dirty.loc[last[-100], "CVX"] = 0.0  # a zero, months ago
dirty.loc[last[-600], "HD"] = 0.0  # a zero, years ago
dirty["PEP"] = dirty["KO"]  # a duplicate under another name
dirty.loc[last[-20] :, "GE"] *= 10  # an unadjusted reverse split
dirty.loc[: last[-61], "AMD"] = np.nan  # listed 60 rows ago
dirty.loc[last[50:300:7], "WMT"] = np.nan  # gaps

# %%
# This model fails because of one ticker without naming it, as real ones do:


class FragileForecaster(BatchXGBoostForecaster):
    """Fails in a batch that contains UNH."""

    def _fit_table(self, features, labels, layout):
        if "UNH" in layout.tickers:
            raise ModelFitError("planted, to be found by the handler")
        super()._fit_table(features, labels, layout)


# %%
# Fit
# ---
# The fit still succeeds. One warning reports what was left out and recovered, and
# another the tickers that the primary model could not forecast.

fragile = FragileForecaster(n_estimators=60)
model = FallbackForecaster(fragile, BatchLinearForecaster())
system = BatchForecastingSystem(5, forecaster=model)
with warnings.catch_warnings(record=True, action="always") as caught:
    system.fit(dirty)
print(*(fill(f"- {warning.message}") for warning in caught), sep="\n")

# %%
# Findings of the screening
# -------------------------
# ``screening_`` lists every finding. Quarantined tickers are left out, so they distort
# neither market features nor the ranks of other tickers. HD's old zero is only noted:
# it counts as missing, and today's features do not look back that far.

for row in system.screening_.itertuples():
    print(fill(f"- {row.Index} {row.action} ({row.rule}): {row.detail}"))

# %%
# Recovery
# --------
# The batch failed as a whole. It was split in half repeatedly until UNH was identified.
# The simpler model forecasts UNH, and one model trained on all other tickers the rest.

print(system.events_.to_string(index=False, max_colwidth=45))

# %%
# A forecast or a reason
# ----------------------
# The reasons also explain missing intervals: a custom forecaster has intervals only if
# it is wrapped in a :class:`~skbatch.ConformalForecaster`.

result = system.forecast()
table = result.to_frame()[["expected_return", "model", "reason"]].round(4)
print(table.replace("^Batch|Forecaster$", "", regex=True).to_string(max_colwidth=54))

# %%
# Over time
# ---------
# A walk-forward test over the last half year shows when tickers drop out or come in.
# Each date is screened with the prices known by then, as if the forecast were made that
# day. GE drops out on the date of its jump, BBY once its price has been constant for 20
# rows, and CVX on the date of its zero, which stays within the features' lookback.

trees = FallbackForecaster(BatchXGBoostForecaster(n_estimators=30))
with warnings.catch_warnings(action="ignore"):  # the same as above, at each refit
    system = BatchForecastingSystem(5, forecaster=trees)
    walk = walk_forward(system, dirty, min_train=874, refit_every=21, benchmarks={})
source = walk.provenance.loc[:, walk.provenance.eq("none").any()]
changes = source.ne(source.shift()).any(axis=1)
print(source[changes].replace("^Batch|Forecaster$", "", regex=True).to_string())

# %%
# A high share of the primary model means that the run went well. It says nothing about
# the quality of the forecasts.

ProvenanceDisplay.from_result(walk)
plt.show()
