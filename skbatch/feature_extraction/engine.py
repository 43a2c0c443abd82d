"""What the layers above build on to share features.

This module is for the other subpackages. It may change with any release.
"""

from skbatch.feature_extraction._known_features import KnownFeatures, sharing

__all__ = ["KnownFeatures", "sharing"]
