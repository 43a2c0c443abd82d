"""Prices to try things on: real ones, and synthetic ones with a planted signal."""

from skbatch.datasets._real import load_sp500_prices
from skbatch.datasets._synthetic import make_panel

__all__ = ["load_sp500_prices", "make_panel"]
