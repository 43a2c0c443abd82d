"""What the layers above build on: which features are shared, and whose they are.

This module is for the other subpackages. It may change with any release.
"""

from typing import Any

from skbatch.feature_extraction._extractor import SharedFeatureExtractor
from skbatch.feature_extraction._known_features import KnownFeatures, sharing
from skbatch.panel.engine import PanelColumns

__all__ = ["KnownFeatures", "panel_columns", "sharing"]


def panel_columns(extractor: Any) -> PanelColumns:
    """Return which column of a fitted extractor belongs to which ticker."""
    if type(extractor) is SharedFeatureExtractor:
        return extractor.plan_.panel_columns
    return PanelColumns.parse(extractor.get_feature_names_out())
