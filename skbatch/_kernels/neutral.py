"""What groups and exposures explain of the values of each date."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skbatch._kernels.target import common_return

# Exposures are single-precision numbers: what varies, or differs from others, by less
# than this share of its squares is rounding.
ROUNDING, COLLINEAR = 1e-20, 1e-10


def group_means(
    values: np.ndarray, codes: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Average each date's values by group; NaN without one, or with a single value.

    All arrays are `(n_dates, n_tickers)`; negative codes are no groups.
    """
    out = np.full(values.shape, np.nan)
    for group in np.unique(codes[codes >= 0]):
        inside = codes == group
        columns = np.flatnonzero(inside.any(axis=0))
        inside = inside[:, columns]
        part = np.where(inside, values[:, columns], np.nan)
        own = None if weights is None else weights[:, columns]
        means = common_return(part, 2, own)[:, None]
        out[:, columns] = np.where(inside, means, out[:, columns])
    return out


@np.errstate(invalid="ignore", divide="ignore")
def explained(
    values: np.ndarray,
    exposures: Sequence[np.ndarray],
    codes: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Regress each date's values on exposures and groups; give what these explain.

    NaN where a value or exposure is missing, for the only ticker of a group, and on
    dates without more tickers than coefficients.
    """
    # By the theorem of Frisch, Waugh and Lovell, groups are taken out first, of values
    # and exposures. Without groups this is the intercept.
    # Lovell, M. C. (2008). A simple proof of the FWL theorem. The Journal of Economic
    # Education, 39(1), 88–91. https://doi.org/10.3200/JECE.39.1.88-91
    known = np.isfinite(values)
    for exposure in exposures:
        known &= np.isfinite(exposure)
    codes = np.zeros(values.shape, dtype=np.intp) if codes is None else codes
    codes = np.where(known, codes, -1)
    gaps = values - group_means(values, codes, weights)
    known = np.isfinite(gaps)
    n_groups = _count_groups(np.where(known, codes, -1))
    if not exposures:
        return np.where(known, values - gaps, np.nan)
    columns = [_within(exposure, codes, known, weights) for exposure in exposures]
    inputs = np.stack(columns, axis=2)
    left = np.where(known, gaps, 0.0)
    weighted = inputs if weights is None else inputs * weights[:, :, None]
    weighted = np.where(known[:, :, None], weighted, 0.0).transpose(0, 2, 1)
    roots, vectors = np.linalg.eigh(weighted @ inputs)
    used = roots > COLLINEAR * roots.max(axis=1, keepdims=True, initial=0.0)
    inverse = np.where(used, 1.0 / roots, 0.0)
    moments = vectors.transpose(0, 2, 1) @ (weighted @ left[:, :, None])
    coef = vectors @ (inverse[:, :, None] * moments)
    residuals = gaps - (inputs @ coef)[:, :, 0]
    enough = known.sum(axis=1) > n_groups + used.sum(axis=1)
    return np.where(known & enough[:, None], values - residuals, np.nan)


def _within(
    exposure: np.ndarray,
    codes: np.ndarray,
    known: np.ndarray,
    weights: np.ndarray | None,
) -> np.ndarray:
    """Subtract the means of groups, and divide by the root of each date's squares."""
    gaps = exposure - group_means(np.where(known, exposure, np.nan), codes, weights)
    gaps = np.where(known, gaps, 0.0)
    squares = (gaps * gaps).sum(axis=1, keepdims=True)
    whole = np.where(known, exposure * exposure, 0.0).sum(axis=1, keepdims=True)
    varies = squares > ROUNDING * whole
    return np.where(varies, gaps / np.sqrt(squares), 0.0)


def _count_groups(codes: np.ndarray) -> np.ndarray:
    """Count the groups of each date."""
    ordered = np.sort(codes, axis=1)
    new = np.diff(ordered, axis=1, prepend=-1) != 0
    return new.sum(axis=1)
