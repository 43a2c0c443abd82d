"""What the batch system builds on: features in blocks, rows, targets and provenance.

This module is for the other subpackages. It may change with any release.
"""

from skbatch.forecasting._base import BatchForecasterMixin
from skbatch.forecasting._booster import (
    BIN_BYTES,
    BIN_ROWS,
    bin_limits,
    feature_types,
    loss_gradient,
)
from skbatch.forecasting._children import (
    as_input,
    check_batch_forecaster_type,
    fit_weighted,
    run_model,
    working_parts,
)
from skbatch.forecasting._common_return import (
    universe_common_return,
)
from skbatch.forecasting._contributions import (
    NO_FEATURES,
    explained_by,
    joined_parts,
)
from skbatch.forecasting._feature_table import (
    FeatureBlocks,
    FeatureStream,
    FeatureTable,
    Universe,
)
from skbatch.forecasting._horizons import horizon_parameters
from skbatch.forecasting._joint_scenarios import JointScenarios, rank_table
from skbatch.forecasting._label_layout import check_weights, layout_of
from skbatch.forecasting._label_scale import LabelScale
from skbatch.forecasting._outlook import Outlook
from skbatch.forecasting._provenance import (
    NO_MODEL,
    Reason,
    first_choice,
    fitted_provenance,
    forecast_with_provenance,
)
from skbatch.forecasting._return_target import tail_rows, thinning
from skbatch.forecasting._row_store import RowStore, Storage
from skbatch.forecasting._training import relative_to, target_of
from skbatch.forecasting._uncertainty import (
    calibrated_part,
    calibrates_itself,
    check_coverage,
    check_coverages,
    check_quantiles,
    generator_of,
    outlook_of,
)

__all__ = [
    "BIN_BYTES",
    "BIN_ROWS",
    "NO_FEATURES",
    "NO_MODEL",
    "BatchForecasterMixin",
    "FeatureBlocks",
    "FeatureStream",
    "FeatureTable",
    "JointScenarios",
    "LabelScale",
    "Outlook",
    "Reason",
    "RowStore",
    "Storage",
    "Universe",
    "as_input",
    "bin_limits",
    "calibrated_part",
    "calibrates_itself",
    "check_batch_forecaster_type",
    "check_coverage",
    "check_coverages",
    "check_quantiles",
    "check_weights",
    "explained_by",
    "feature_types",
    "first_choice",
    "fit_weighted",
    "fitted_provenance",
    "forecast_with_provenance",
    "generator_of",
    "horizon_parameters",
    "joined_parts",
    "layout_of",
    "loss_gradient",
    "outlook_of",
    "rank_table",
    "relative_to",
    "run_model",
    "tail_rows",
    "target_of",
    "thinning",
    "universe_common_return",
    "working_parts",
]
