"""What boosted trees need of XGBoost: a model that pickles, objectives, progress."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Collection, Mapping
from threading import Lock, current_thread, get_ident, main_thread
from typing import Any

import numpy as np
import xgboost as xgb
from xgboost.callback import TrainingCallback

from skbatch._bounded_cache import BoundedCache
from skbatch._kernels.threads import inner_threads
from skbatch.forecasting._categories import Seen, known_only
from skbatch.forecasting._feature_table import Rows
from skbatch.forecasting._row_store import LOWEST, RowStore
from skbatch.forecasting._training import MAX_CELLS

# Rows from which bins are cut, where there are at least twice as many: the share of
# rows in one of 32 bins is then right to a tenth. Sorting them takes a fortieth of the
# time of XGBoost's sketch of all rows.
BIN_ROWS = 2**14
# Matrices of small training sets are kept, as the candidates of a search, which differ
# in their trees only, train on the same ones: of several folds, or none is found again.
_MATRICES: BoundedCache[xgb.QuantileDMatrix] = BoundedCache()
_MATRICES_BYTES, _LEAST_MATRICES = 2**26, 3
# Bytes for each cell of a quantized matrix: its bin, and the same by columns.
BIN_BYTES = 2
# Whether this process was forked after XGBoost had run: its threads are lost then.
_STATE = {"ran": False, "forked": False}


def _note_fork() -> None:
    _STATE["forked"] = _STATE["forked"] or _STATE["ran"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def without_gaps(X: np.ndarray) -> np.ndarray:
    """Replace missing inputs, in place, by the lowest value."""
    # Parts of the columns or rows that lie together, so that the mask stays small.
    table = X.T if X.flags.f_contiguous else X
    size = max(1, MAX_CELLS // (8 * max(1, table.shape[1])))
    for start in range(0, len(table), size):
        part = table[start : start + size]
        np.copyto(part, LOWEST, where=np.isnan(part))
    return X


class BoosterModel:
    """A trained booster that pickles in XGBoost's stable model format."""

    # Trees see a missing input as lower than all others, as rows are stored.
    takes_lowest = True

    def __init__(
        self,
        booster: xgb.Booster,
        device: str,
        n_jobs: int | None,
        seen: Seen | None = None,
    ) -> None:
        self.booster = booster
        self.seen = seen or {}
        # XGBoost changes to the processor where it finds no GPU.
        config = json.loads(booster.save_config())["learner"]["generic_param"]
        self.device = "cpu" if config["device"] == "cpu" else device
        self.n_jobs = n_jobs
        self.lock = Lock()

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`, or `(n_rows, n_outputs)` for several outputs."""
        X = known_only(without_gaps(X), self.seen)
        params = {"nthread": prediction_threads(self.n_jobs), "device": self.device}
        # A booster with new parameters fails when two threads forecast with it.
        with self.lock:
            self.booster.set_param(params)
            if self.device != "cpu":
                # In place, XGBoost warns that the rows are not where the trees are.
                matrix = xgb.DMatrix(X)
                return self.booster.predict(
                    matrix, output_margin=True, validate_features=False
                )
            return self.booster.inplace_predict(X, predict_type="margin")

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Split forecasts `(n_rows,)` into those of inputs, `(n_rows, n_inputs)`."""
        learner = json.loads(self.booster.save_config())["learner"]
        if int(learner["learner_model_param"]["num_target"]) > 1:
            raise ValueError(
                "`strategy` must be 'pooled' or 'per_ticker' for trees to be explained."
                " Got 'vector', for which XGBoost computes no contributions. Fit with "
                "strategy='pooled'."
            )
        params = {"nthread": prediction_threads(self.n_jobs), "device": self.device}
        with self.lock:
            self.booster.set_param(params)
            rows = xgb.DMatrix(known_only(without_gaps(X.copy()), self.seen))
            found = self.booster.predict(
                rows, pred_contribs=True, validate_features=False
            )
        return found[:, :-1]

    def importances(self) -> np.ndarray:
        """Sum the gains of the splits on each input."""
        with self.lock:
            trees = self.booster.copy()
        trees.feature_names = None
        scores = trees.get_score(importance_type="total_gain")
        numbers = range(trees.num_features())
        return np.array([float(scores.get(f"f{n}", 0.0)) for n in numbers])

    def __getstate__(self) -> dict[str, Any]:
        return {
            "booster": self.booster.save_raw("ubj"),
            "device": self.device,
            "n_jobs": self.n_jobs,
            "seen": self.seen,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.booster = xgb.Booster(model_file=state["booster"])
        self.lock = Lock()


class DeferredInterrupt:
    """Hold Ctrl-C back while XGBoost's own code runs, and raise it afterwards."""

    def __enter__(self) -> DeferredInterrupt:
        self.pending = False
        self.previous: Any = None
        # Only the main thread may, and gets to, handle signals.
        if current_thread() is main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                signal.signal(signal.SIGINT, self._note)
                self.previous = handler
        return self

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
            if self.pending:
                self.previous(signal.SIGINT, None)

    def _note(self, number: int, frame: object) -> None:
        """Remember that the user wants to stop."""
        self.pending = True


class SliceIterator(xgb.DataIter):
    """Pass stored rows to XGBoost slice by slice, which quantizes each."""

    def __init__(
        self, X: RowStore, y: np.ndarray, weight: np.ndarray | None, seen: Seen
    ) -> None:
        super().__init__()
        self.X = X
        self.seen = seen
        self.y = y
        self.weight = weight
        self.size = _slice_rows(X)
        self.start = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Pass the next slice; False after the last one."""
        if self.start >= len(self.X):
            return False
        place = slice(self.start, self.start + self.size)
        weight = None if self.weight is None else self.weight[place]
        rows = known_only(self.X[place], self.seen)
        types = feature_types(self.X.shape[1], self.seen)
        input_data(data=rows, label=self.y[place], weight=weight, feature_types=types)
        self.start += self.size
        return True

    def reset(self) -> None:
        """Begin anew: XGBoost reads everything several times."""
        self.start = 0


def shared_matrix(
    rows: Rows, settings: tuple[Any, ...], quantize: Callable[[], xgb.QuantileDMatrix]
) -> xgb.QuantileDMatrix:
    """Quantize rows, or look up the matrix that another candidate of a search made."""
    size = BIN_BYTES * len(rows.X) * rows.X.shape[1]
    if rows.X.array is None or size * _LEAST_MATRICES > _MATRICES_BYTES:
        return quantize()
    values = hashlib.sha1(usedforsecurity=False)
    for array in (rows.X.array.T, rows.y, rows.weight):
        if array is not None:
            values.update(f"{array.shape} {array.dtype}".encode())
            values.update(np.ascontiguousarray(array).data)
    # XGBoost does not say that several threads may train on one matrix.
    key = values.digest(), settings, get_ident()
    matrix = _MATRICES.get(key)
    if matrix is None:
        matrix = quantize()
        _MATRICES.put(key, matrix, size, _MATRICES_BYTES)
    return matrix


def feature_types(n_inputs: int, categories: Collection[int]) -> list[str] | None:
    """Declare to XGBoost which inputs are categories, if there are any."""
    if not categories:
        return None
    return ["c" if number in categories else "q" for number in range(n_inputs)]


def draw_rows(X: RowStore, n_rows: int, seed: int) -> np.ndarray:
    """Draw rows without replacement, in their order, the same in memory and on disk."""
    drawn = np.random.default_rng(seed).choice(len(X), n_rows, replace=False)
    drawn.sort()
    if X.array is not None:
        return X.array[drawn]
    out = np.empty((n_rows, X.shape[1]), np.float32)
    size = _slice_rows(X)
    for start in range(0, len(X), size):
        low, high = np.searchsorted(drawn, [start, start + size])
        out[low:high] = X[start : start + size][drawn[low:high] - start]
    return out


def bin_limits(drawn: np.ndarray, max_bin: int) -> np.ndarray:
    """Cut bins of equally many rows, `(max_bin, n_inputs)`: where each one starts."""
    limits = np.empty((max_bin, drawn.shape[1]), np.float32)
    places = np.arange(max_bin) * len(drawn) // max_bin
    for number, column in enumerate(drawn.T):
        values = np.sort(column)
        distinct = values[np.flatnonzero(np.diff(values, prepend=-np.inf))]
        # Of few values, such as of weekdays, each gets a bin.
        few = len(distinct) <= max_bin
        limits[:, number] = np.resize(distinct, max_bin) if few else values[places]
    return limits


def _slice_rows(X: RowStore) -> int:
    """Count the rows that are read from a file at once."""
    return max(1, MAX_CELLS // max(1, X.shape[1]))


class StepCallback(TrainingCallback):
    """Report each finished boosting round to a progress bar, and stop on Ctrl-C."""

    def __init__(self, step: Callable[[], None], interrupt: DeferredInterrupt) -> None:
        super().__init__()
        self.step = step
        self.interrupt = interrupt

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.step()
        return self.interrupt.pending


def masked_loss(
    y: np.ndarray, params: Mapping[str, Any], weight: np.ndarray | None = None
) -> Callable[[np.ndarray, xgb.DMatrix], tuple[np.ndarray, np.ndarray]]:
    """Objective whose gradient and Hessian are zero at missing labels."""
    known = np.isfinite(y)
    labels, mask = np.where(known, y, 0.0), known.astype(np.float32)
    if weight is not None:
        mask *= weight.astype(np.float32)

    def objective(
        forecast: np.ndarray, _: xgb.DMatrix
    ) -> tuple[np.ndarray, np.ndarray]:
        return loss_gradient(forecast - labels, mask, params)

    return objective


def loss_gradient(
    miss: np.ndarray, weight: np.ndarray, params: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of the objective in `params` at forecasts minus labels."""
    if params["objective"] == "reg:squarederror":
        return (miss * weight).astype(np.float32), weight
    slope = float(params.get("huber_slope", 1.0))
    scale = 1.0 + np.square(miss / slope)
    root = np.sqrt(scale)
    gradient, hessian = miss / root * weight, weight / (scale * root)
    return gradient.astype(np.float32), hessian.astype(np.float32)


def tail_correlation(
    y: np.ndarray, weight: np.ndarray | None = None
) -> Callable[[np.ndarray, xgb.DMatrix], tuple[str, float]]:
    """Uncentered correlation of forecasts and finite labels."""
    known = np.isfinite(y)
    root = 1.0 if weight is None else np.sqrt(weight[known])
    labels = y[known] * root
    norm = float(np.sqrt(labels @ labels))

    def metric(forecast: np.ndarray, _: xgb.DMatrix) -> tuple[str, float]:
        values = forecast.reshape(known.shape)[known].astype(np.float64) * root
        length = float(np.sqrt(values @ values)) * norm
        return "correlation", float(values @ labels) / length if length else 0.0

    return metric


def prediction_threads(n_jobs: int | None) -> int:
    """Count the threads to predict with: one where others would wait forever."""
    _STATE["ran"] = True
    return 1 if _STATE["forked"] else inner_threads(n_jobs)


def check_training_process() -> None:
    """Raise where training would wait forever for threads that were not forked."""
    _STATE["ran"] = True
    if _STATE["forked"]:
        raise RuntimeError(
            "XGBoost must not train in a process that was forked after XGBoost had "
            "run. Got such a process, in which training would hang. Start processes "
            "with 'spawn' or 'forkserver', use joblib's backend 'loky', or train "
            "before forking."
        )
