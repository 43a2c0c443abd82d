"""Checks that users run on their own estimators."""

from skbatch.testing._lookahead import LookAheadError, check_no_lookahead

__all__ = ["LookAheadError", "check_no_lookahead"]
