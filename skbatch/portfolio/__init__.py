"""From prices to expected returns, and from these to an optimizer, checked."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skbatch.portfolio._asset_panel import from_asset_panel, to_asset_panel
    from skbatch.portfolio._expected import ExpectedReturns
    from skbatch.portfolio._mu import ForecastMu
    from skbatch.portfolio._preflight import PreflightReport, preflight
    from skbatch.portfolio._prior import ForecastPrior
    from skbatch.portfolio._pypfopt import to_pypfopt
    from skbatch.portfolio._riskfolio import to_riskfolio
    from skbatch.portfolio._robust import robust_forecast_returns
    from skbatch.portfolio._views import black_litterman_views

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

# The imports above are for type checkers; at run time each name is imported on first
# use: ForecastMu and ForecastPrior are classes of skfolio, which is optional.
_ROOMS = {
    "ExpectedReturns": "_expected",
    "ForecastMu": "_mu",
    "ForecastPrior": "_prior",
    "PreflightReport": "_preflight",
    "black_litterman_views": "_views",
    "from_asset_panel": "_asset_panel",
    "preflight": "_preflight",
    "robust_forecast_returns": "_robust",
    "to_asset_panel": "_asset_panel",
    "to_pypfopt": "_pypfopt",
    "to_riskfolio": "_riskfolio",
}

# Hidden from type checkers: with it they would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted(__all__)
