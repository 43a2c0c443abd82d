"""What the ways have in common: the same inputs, windows and trees."""

from __future__ import annotations

HORIZON = 5
LAGS = (1, 2, 3, 4, 5)
WINDOWS = (5, 21, 63, 126, 252)
STATISTICS = ("mean", "std", "max")
# No rows or columns are drawn, which depends on the order of the rows.
TREES = {
    "n_estimators": 100,
    "max_depth": 4,
    "learning_rate": 0.05,
    "min_child_weight": 100,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "reg_lambda": 10.0,
    "max_bin": 256,
}


def register_features() -> None:
    """Add to skbatch's catalogue what the peers compute: one function for each."""
    import numpy as np

    from skbatch import SharedFeatureExtractor
    from skbatch.feature_extraction._registry import feature
    from skbatch.feature_extraction._series import simple_return

    # The constraint lists the families that were there when it was imported.
    SharedFeatureExtractor._parameter_constraints["families"] = ["array-like"]

    @feature("same lags", also=LAGS)
    def lagged_return(block, window):
        return block.before(simple_return, window - 1)

    @feature("same windows", windows=(2, None))
    def rolling_mean(block, window):
        return block.rolling(simple_return).mean(window)

    @feature("same windows", windows=(2, None))
    def rolling_std(block, window):
        return np.sqrt(block.rolling(simple_return).variance(window))

    @feature("same windows", windows=(2, None))
    def rolling_max(block, window):
        return block.rolling(simple_return).maximum(window)
