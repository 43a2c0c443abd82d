"""
Dirty data: screening, quarantine, fallback
===========================================

Price files contain stuck feeds, series that end without notice, zeros, copies and
unadjusted splits. Here several tickers are spoilt on purpose, each in a different way,
and one makes the model itself fail. Every ticker ends with a forecast or
with a reason.
"""

# %%
# Spoil the prices
# ----------------

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
dirty["PEP"] = dirty["KO"]  # one ticker's prices under another's name
dirty.loc[last[-20] :, "GE"] *= 10  # a consolidation that was not adjusted
dirty.loc[: last[-61], "AMD"] = np.nan  # listed 60 rows ago
dirty.loc[last[50:300:7], "WMT"] = np.nan  # gaps

# %%
# And a model that fails because of one ticker without naming it, as real ones do:


class FragileForecaster(BatchXGBoostForecaster):
    """Fails in a batch that contains UNH."""

    def _fit_table(self, features, labels, layout):
        if "UNH" in layout.tickers:
            raise ModelFitError("planted, to be found by the handler")
        super()._fit_table(features, labels, layout)


# %%
# Fit
# ---
# The fit continues. It warns once of what was set aside and recovered, and once of the
# tickers that need another model than the first choice.

fragile = FallbackForecaster(
    FragileForecaster(n_estimators=60), BatchLinearForecaster()
)
system = BatchForecastingSystem(5, forecaster=fragile)
with warnings.catch_warnings(record=True, action="always") as caught:
    system.fit(dirty)
print(*(fill(f"- {warning.message}") for warning in caught), sep="\n")

# %%
# What was found
# --------------
# ``screening_`` has every finding. Quarantined tickers take no part, so they spoil
# neither the market's features nor the ranks of the others. The old zero of HD is
# noted only: it counts as missing, and no feature of today looks back so far.

print(system.screening_.to_string(max_colwidth=70))

# %%
# What was done in the run
# ------------------------
# The batch failed as a whole. It was halved until UNH was found, UNH was taken out and
# went to the simpler model, and the others have the forecasts of one model of them all.

print(system.events_.to_string(index=False, max_colwidth=45))

# %%
# A forecast or a reason
# ----------------------
# The reasons also explain missing intervals: a forecaster of your own has them only
# inside a :class:`~skbatch.ConformalForecaster`.

result = system.forecast()
table = result.to_frame()[["expected_return", "model", "reason"]]
print(table.round(4).to_string(max_colwidth=70))

# %%
# Over time
# ---------
# Walking forward through the last half year shows when tickers fall out, or come in.
# Each date is screened with the prices known by then, as if the forecast were made that
# day: GE falls out on the date of its jump, BBY once its feed has stood still for 20
# rows, and CVX on the date of its zero, which stays among the prices that the features
# look back on.

trees = FallbackForecaster(BatchXGBoostForecaster(n_estimators=30))
with warnings.catch_warnings(action="ignore"):  # the same as above, at each refit
    system = BatchForecastingSystem(5, forecaster=trees)
    walk = walk_forward(system, dirty, min_train=874, refit_every=21, benchmarks={})
source = walk.provenance.loc[:, walk.provenance.eq("none").any()]
print(source[source.ne(source.shift()).any(axis=1)].to_string())

# %%
# A high share of the first choice means that the run was healthy. It is no
# evidence of how good the forecasts are.

ProvenanceDisplay.from_result(walk)
plt.show()
