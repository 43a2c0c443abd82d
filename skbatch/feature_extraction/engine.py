"""What the layers above build on: which features are shared, and whose they are.

This module is for the other subpackages. It may change with any release.
"""

from typing import Any

from skbatch.feature_extraction._extractor import SharedFeatureExtractor
from skbatch.feature_extraction._feature_source import BLOCK_BYTES
from skbatch.feature_extraction._known_features import KnownFeatures, sharing
from skbatch.panel.engine import PanelColumns

__all__ = ["KnownFeatures", "are_one_block", "panel_columns", "sharing"]


def are_one_block(extractor: Any, n_rows: int) -> bool:
    """Whether all features of some rows are so few that the cache may hold them."""
    if type(extractor) is not SharedFeatureExtractor:
        return False
    # With the copy, these are half a block at most, which is in all plans of memory.
    return 4 * n_rows * extractor.plan_.n_columns <= BLOCK_BYTES // 4


def panel_columns(extractor: Any) -> PanelColumns:
    """Return which column of a fitted extractor belongs to which ticker."""
    if type(extractor) is SharedFeatureExtractor:
        return extractor.plan_.panel_columns
    return PanelColumns.parse(extractor.get_feature_names_out())
