"""Features of whole portfolios, computed once for all tickers."""

from skbatch.feature_extraction._extractor import SharedFeatureExtractor
from skbatch.feature_extraction._feature_plan import list_features
from skbatch.feature_extraction._frame_cache import cache_info, clear_cache

__all__ = [
    "SharedFeatureExtractor",
    "cache_info",
    "clear_cache",
    "list_features",
]
