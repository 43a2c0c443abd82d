"""Checks that users run on their own estimators."""

from skbatch.testing._batch_forecaster import check_batch_forecaster
from skbatch.testing._lookahead import LookAheadError, check_no_lookahead

__all__ = ["LookAheadError", "check_batch_forecaster", "check_no_lookahead"]
