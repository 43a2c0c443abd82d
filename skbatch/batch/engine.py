"""What the layers above the batch system build on.

This module is for the other subpackages. It may change with any release.
"""

from skbatch.batch._errors import MODEL_FAILURES, default_forecaster
from skbatch.batch._system_tickers import describe_partial_row

__all__ = [
    "MODEL_FAILURES",
    "default_forecaster",
    "describe_partial_row",
]
