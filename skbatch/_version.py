"""The version of skbatch, without what `skbatch` itself imports."""

__version__ = "0.1.0"
