"""An account that trades towards target weights, drifts, and pays costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

# Given the row and the weights held there, the weights wanted.
Decide = Callable[[int, np.ndarray], np.ndarray]
# Given the row and the values traded, in units of wealth, what each costs.
Charge = Callable[[int, np.ndarray], np.ndarray]


@dataclass
class Account:
    """What became of one unit of capital; rows are dates, shares are of the wealth."""

    gross: np.ndarray  # profit and cost over the wealth before the row
    cost: np.ndarray
    weights: np.ndarray
    # Row → value traded over the wealth before the trade.
    trades: dict[int, np.ndarray] = field(default_factory=dict)


def run_account(
    closes: np.ndarray,
    decide: Decide,
    charge: Charge,
    decisions: np.ndarray,
    delay: int,
    ends: np.ndarray,
    last_returns: np.ndarray,
) -> Account:
    """Decide at the close of some rows, and trade at the close `delay` rows later."""
    # A position without a price keeps its last value and is not traded; after the last
    # price of a ticker, in the row `ends`, it becomes cash.
    n_dates, n_tickers = closes.shape
    known = np.isfinite(closes)
    account = Account(
        np.zeros(n_dates), np.zeros(n_dates), np.zeros((n_dates, n_tickers))
    )
    held, wanted, asked = np.zeros(n_tickers), {}, set(decisions.tolist())
    price, wealth = closes[0].copy(), 1.0
    for row in range(n_dates):
        before = wealth
        ratio = np.where(known[row] & np.isfinite(price), closes[row] / price, 1.0)
        ratio = np.where(ends == row - 1, 1.0 + last_returns, ratio)
        profit = held * (ratio - 1.0)
        held = np.where(ends == row - 1, 0.0, held * ratio)
        price = np.where(known[row], closes[row], price)
        wealth += float(profit.sum())
        account.gross[row] = wealth / before - 1.0 if before > 0 else 0.0
        if wealth <= 0.0:
            # Ruined: nothing is left to trade with.
            held, wealth = np.zeros(n_tickers), 0.0
            account.gross[row] = max(account.gross[row], -1.0)
            continue
        if row in asked and row + delay < n_dates:
            wanted[row + delay] = decide(row, held / wealth)
        if row in wanted:
            target = wealth * wanted[row]
            trade = np.where(known[row], target - held, 0.0)
            account.trades[row] = trade / wealth
            paid = float(charge(row, trade).sum())
            held, wealth = held + trade, wealth - paid
            account.cost[row] = paid / before
        account.weights[row] = held / wealth
    return account


def bin_weights(scores: np.ndarray, n_bins: int, number: int) -> np.ndarray:
    """Weight the tickers of one bin of the scores equally, from 0 for the lowest."""
    known = np.isfinite(scores)
    weights = np.zeros(len(scores))
    if known.sum() < n_bins:
        return weights
    low, high = np.quantile(scores[known], [number / n_bins, (number + 1) / n_bins])
    slack = 1e-12 * np.abs(scores[known]).max()
    if not scores[known].max() - scores[known].min() > slack:
        return weights
    member = known & (scores >= low - slack) & (scores <= high + slack)
    return member / member.sum()


def impact_cost(
    trade: np.ndarray, impact: float, volatility: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    """Cost of the price that a trade moves, by the square root of its size."""
    # Grinold, R. C. and Kahn, R. N. (2000). Active Portfolio Management, 2nd ed.,
    # chapter 16. Trading a day's volume moves the price by `impact` day's volatilities.
    size = np.abs(trade)
    share = np.divide(size, volume, out=np.zeros_like(size), where=size > 0)
    moved = np.where(size > 0, volatility, 0.0)
    return impact * moved * size * np.sqrt(share)
