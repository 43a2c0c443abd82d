"""A fixture of pytest for look-ahead checks of any project's pipelines.

pytest imports it in every run, so it imports nothing heavy by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def no_lookahead() -> Callable[..., None]:
    """Check that a pipeline does not look ahead.

    Called with an estimator, prices and options, see
    :func:`skbatch.testing.check_no_lookahead`. Without prices, synthetic ones of eight
    tickers are taken.
    """
    from skbatch.datasets import make_panel
    from skbatch.testing import check_no_lookahead

    def check(estimator: Any, prices: Any = None, **options: Any) -> None:
        if prices is None:
            prices = make_panel(n_dates=400, n_tickers=8, random_state=0)
        check_no_lookahead(estimator, prices, **options)

    return check
