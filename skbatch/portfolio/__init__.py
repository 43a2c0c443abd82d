"""From prices to expected returns, and from these to an optimizer, checked."""

from importlib import import_module
from typing import TYPE_CHECKING

from skbatch.portfolio._asset_panel import from_asset_panel, to_asset_panel
from skbatch.portfolio._expected import ExpectedReturns
from skbatch.portfolio._preflight import PreflightReport, preflight
from skbatch.portfolio._pypfopt import to_pypfopt
from skbatch.portfolio._riskfolio import to_riskfolio
from skbatch.portfolio._robust import robust_forecast_returns
from skbatch.portfolio._views import black_litterman_views

if TYPE_CHECKING:
    from skbatch.portfolio._mu import ForecastMu
    from skbatch.portfolio._prior import ForecastPrior

__all__ = [
    "ExpectedReturns",
    "ForecastMu",
    "ForecastPrior",
    "PreflightReport",
    "black_litterman_views",
    "from_asset_panel",
    "preflight",
    "robust_forecast_returns",
    "to_asset_panel",
    "to_pypfopt",
    "to_riskfolio",
]

# Hidden from type checkers: with it they would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name):
        # Classes of skfolio, which is optional, are imported on first use.
        rooms = {"ForecastMu": "_mu", "ForecastPrior": "_prior"}
        if name not in rooms:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{rooms[name]}"), name)

    def __dir__():
        return sorted(__all__)
