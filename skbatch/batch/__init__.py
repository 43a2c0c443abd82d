"""From prices to forecasts, whatever the data and the machine throw at it."""

from skbatch.batch._compare import BatchComparison, compare_batch_vs_individual
from skbatch.batch._errors import BatchErrorHandler
from skbatch.batch._manager import Batch, SimpleBatchManager
from skbatch.batch._memory import MemoryEstimate
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.batch._result import ForecastResult
from skbatch.batch._system import BatchForecastingSystem

__all__ = [
    "Batch",
    "BatchComparison",
    "BatchErrorHandler",
    "BatchForecastingSystem",
    "BatchPerformanceMonitor",
    "ForecastResult",
    "MemoryEstimate",
    "SimpleBatchManager",
    "compare_batch_vs_individual",
]
