"""Features of whole portfolios, computed once for all tickers."""

from skbatch.feature_extraction._extractor import SharedFeatureExtractor

__all__ = ["SharedFeatureExtractor"]
