"""Errors and warnings raised by skbatch."""

__all__ = [
    "BatchWarning",
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "FallbackWarning",
    "HistoryWarning",
    "HorizonWarning",
    "ModelFitError",
    "PanelError",
    "PanelWarning",
    "PortfolioError",
    "PortfolioWarning",
    "SkbatchError",
    "SkbatchWarning",
]


class SkbatchError(Exception):
    """Base class of the errors that skbatch defines."""


class PanelError(SkbatchError, ValueError):
    """A table of prices, features or labels is malformed."""


class ModelFitError(SkbatchError, RuntimeError):
    """A model could not be fitted although its arguments are valid.

    On this error, :class:`~skbatch.forecasting.FallbackForecaster` uses its fallback.
    Bad arguments and malformed input raise other errors, which are never caught.
    """


class ConfigError(SkbatchError, ValueError):
    """A configuration has a wrong key, type or value."""


class CheckpointError(SkbatchError, RuntimeError):
    """A checkpoint belongs to other data or settings, or cannot be used."""


class ClusterError(SkbatchError, RuntimeError):
    """The workers of a cluster were lost, or are lost again and again."""


class PortfolioError(SkbatchError, ValueError):
    """Forecasts cannot be passed to an optimizer as they are."""


class SkbatchWarning(UserWarning):
    """Base class of the warnings that skbatch defines."""


class PanelWarning(SkbatchWarning):
    """Some values of a panel were treated as missing, or cannot be used."""


class HistoryWarning(SkbatchWarning):
    """Rows were transformed without their full lookback."""


class HorizonWarning(SkbatchWarning):
    """The horizon of the labels is not known and had to be assumed."""


class BatchWarning(SkbatchWarning):
    """A batch run continued in another way than requested."""


class FallbackWarning(SkbatchWarning):
    """Some tickers are not served by the primary model."""


class PortfolioWarning(SkbatchWarning):
    """Forecasts reach an optimizer without some tickers, or look doubtful."""
