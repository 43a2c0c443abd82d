"""Weights from expected returns and a covariance, by skfolio."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from skbatch.cli._shell import UserError

if TYPE_CHECKING:
    import pandas as pd


class Optimizer(StrEnum):
    """How weights are found."""

    MEAN_RISK = "mean-risk"
    MAX_SHARPE = "max-sharpe"
    MIN_RISK = "min-risk"
    EQUAL = "equal"


def find_optimizer(name: str) -> Optimizer:
    """Find an optimizer, or raise before the work is done if it cannot run."""
    if name not in list(Optimizer):
        raise UserError(
            f"`--optimizer` must be one of {', '.join(Optimizer)}. Got '{name}'. "
            "Choose one of these."
        )
    optimizer = Optimizer(name)
    if optimizer is not Optimizer.EQUAL and not find_spec("skfolio"):
        raise UserError(
            "`--optimizer` must be equal unless skfolio is installed. Got "
            f"{optimizer}. Install skfolio with: pip install 'skbatch[portfolio]'"
        )
    return optimizer


def optimize(
    optimizer: Optimizer,
    mu: pd.Series,
    covariance: pd.DataFrame,
    *,
    max_weight: float,
    risk_aversion: float,
    held: pd.Series | None = None,
    cost: float = 0.0,
) -> pd.Series:
    """Find long-only weights that sum to 1.

    For mean-risk, the objective is the mean minus `risk_aversion` / 2 times the
    variance and, where there are holdings, minus `cost` times the traded weight.
    """
    import numpy as np
    import pandas as pd
    from cvxpy.error import SolverError
    from skfolio.exceptions import SkfolioError
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import BasePrior, ReturnDistribution

    class Known(BasePrior):
        """The given moments, whatever the returns."""

        def __init__(self) -> None:
            pass

        def fit(self, X: Any, y: Any = None, **_: Any) -> Known:
            self.return_distribution_ = ReturnDistribution(
                mu=mu.to_numpy(), covariance=covariance.to_numpy(), returns=X
            )
            return self

    options: dict[str, Any] = {}
    if optimizer is Optimizer.MEAN_RISK and held is not None:
        options = {"previous_weights": held.to_numpy(), "transaction_costs": cost}
    model = MeanRisk(
        {
            Optimizer.MIN_RISK: ObjectiveFunction.MINIMIZE_RISK,
            Optimizer.MAX_SHARPE: ObjectiveFunction.MAXIMIZE_RATIO,
            Optimizer.MEAN_RISK: ObjectiveFunction.MAXIMIZE_UTILITY,
        }[optimizer],
        prior_estimator=Known(),
        max_weights=max_weight,
        risk_aversion=risk_aversion / 2,
        **options,
    )
    try:
        weights = model.fit(np.zeros((2, len(mu)))).weights_
    except (SkfolioError, SolverError, ValueError) as error:
        raise UserError(
            f"`--optimizer` must be able to find weights. Got {optimizer}, which "
            f"failed: {error} Try min-risk or equal."
        ) from error
    found = pd.Series(weights, mu.index)
    return found.where(found.abs() >= 1e-4, 0.0).round(6)
