"""What a search has tried, and what its best result is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skbatch._messages import count
from skbatch.exceptions import PanelError
from skbatch.metrics import (
    deflated_sharpe_ratio,
    holm_adjusted,
    mean_inference,
    probability_of_backtest_overfitting,
)

if TYPE_CHECKING:
    from skbatch.model_selection._walk_forward_result import WalkForwardResult

NAN = float("nan")


class TrialLedger:
    """Record every forecaster that is tried on the same prices.

    Pass it to :func:`~skbatch.walk_forward` as `n_trials`, which enters each result; a
    result with several horizons counts once for each.

    Parameters
    ----------
    **options
        How the long–short portfolios of the trials are backtested: arguments of
        :func:`~skbatch.model_selection.backtest`, such as ``costs=0``.

    See Also
    --------
    skbatch.metrics.deflated_sharpe_ratio : Sharpe ratio beyond that of luck.
    skbatch.metrics.probability_of_backtest_overfitting : Whether the best trial lasts.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbatch import (BatchLinearForecaster, SharedFeatureExtractor,
    ...                      walk_forward)
    >>> from skbatch.datasets import make_panel
    >>> from skbatch.model_selection import TrialLedger
    >>> prices = make_panel(n_dates=400, n_tickers=8, random_state=0)
    >>> ledger = TrialLedger()
    >>> for window in (5, 21):
    ...     features = SharedFeatureExtractor(["returns"], [window])
    ...     model = make_pipeline(features, BatchLinearForecaster())
    ...     result = walk_forward(model, prices, horizon=1, min_train=200,
    ...                           benchmarks={}, name=f"{window}", n_trials=ledger)
    >>> len(ledger), result.n_trials
    (2, 2)
    >>> list(ledger.to_frame().columns)
    ['horizon', 'rank_ic', 'rank_ic_t', 'p_value', 'p_holm', 'sharpe']
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self._rows: list[dict[str, Any]] = []
        self._returns: list[pd.Series] = []

    def add(self, result: WalkForwardResult) -> None:
        """Enter a result.

        Parameters
        ----------
        result : WalkForwardResult
            Result of a trial.
        """
        for horizon in result.horizons:
            test = mean_inference(result.rank_ic(horizon)[result.name], horizon=horizon)
            portfolio = result.backtest(horizon, **self.options)
            self._rows.append(
                {
                    "trial": result.name,
                    "horizon": horizon,
                    "rank_ic": test.mean,
                    "rank_ic_t": test.t_statistic,
                    "p_value": test.p_value,
                    "sharpe": portfolio.measures["sharpe_net"],
                }
            )
            self._returns.append(portfolio.returns["net"])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def returns(self) -> pd.DataFrame:
        """Net returns of each trial's long–short portfolio, `(n_dates, n_trials)`."""
        return pd.concat(self._returns, axis=1, keys=range(len(self)))

    def to_frame(self) -> pd.DataFrame:
        """List the trials.

        Returns
        -------
        DataFrame of shape (n_trials, 6)
            Indexed by trial, in the order of entry: horizon, mean rank IC, its
            Newey–West t-statistic and p-value, that p-value adjusted for all trials,
            and the Sharpe ratio per year of the long–short portfolio after costs.
        """
        columns = ["trial", "horizon", "rank_ic", "rank_ic_t", "p_value", "sharpe"]
        table = pd.DataFrame(self._rows, columns=columns).set_index("trial")
        table.insert(4, "p_holm", holm_adjusted(table["p_value"]))
        return table

    def summary(self) -> pd.Series:
        """Judge the trial with the highest Sharpe ratio, given all trials.

        Returns
        -------
        Series
            ``best``, its name; ``n_trials``; ``sharpe``, per year; the
            ``deflated_sharpe_ratio``, from the Sharpe ratios of all trials; and the
            ``probability_of_backtest_overfitting``, NaN for a single trial or too few
            dates that all trials have.

        Raises
        ------
        ValueError
            If nothing was entered.
        """
        if not len(self):
            raise ValueError(
                "The ledger must hold a result. Got none. Pass it to walk_forward as "
                "`n_trials`."
            )
        returns = self.returns
        sharpes = (returns.mean() / returns.std()).to_numpy()
        best = int(np.argmax(np.nan_to_num(sharpes, nan=-np.inf)))
        try:
            overfitting = probability_of_backtest_overfitting(returns)
        except PanelError:
            overfitting = NAN
        return pd.Series(
            {
                "best": self._rows[best]["trial"],
                "n_trials": len(self),
                "sharpe": self._rows[best]["sharpe"],
                "deflated_sharpe_ratio": deflated_sharpe_ratio(
                    returns[best], sharpes[np.isfinite(sharpes)]
                ),
                "probability_of_backtest_overfitting": overfitting,
            }
        )

    def __repr__(self) -> str:
        return f"TrialLedger({count(len(self), 'trial')})"
