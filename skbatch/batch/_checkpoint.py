"""Finished batches on disk, so that a killed run redoes only what is missing."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import pickle
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib

from skbatch._messages import describe_error, warn_user
from skbatch._version import __version__
from skbatch.batch._batch_task import Event, Outcome, Task
from skbatch.batch._manager import Batch
from skbatch.exceptions import BatchWarning, CheckpointError

__all__ = ["ROWS", "Checkpoint"]

# How names of folders with stacked rows begin.
ROWS = ".skbatch-"
_DIGEST = 32
_SHARED = "shared.skbatch"
_LOGGER = logging.getLogger("skbatch")


class Checkpoint:
    """A folder with the outcome of each finished task.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    identity : dict of str to str
        What the run depends on, such as ``"prices"``, and a hash of each.

    Attributes
    ----------
    shares : bool
        Whether batches share models in this run. Batches of a run that had no room
        for that are not those of one that has.
    failed : bool
        Whether something could not be written, after which nothing is.

    Raises
    ------
    CheckpointError
        If the folder holds the checkpoint of another run, or cannot be read.

    Notes
    -----
    Files are written under another name, flushed to disk and then renamed, so that a
    file is there whole or not at all; each begins with a hash of the rest, by which a
    truncated or damaged one is recognised.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, str]):
        self.folder = Path(folder)
        self.identity = {"skbatch": __version__, **identity}
        self.manifest = self.folder / "manifest.json"
        self.batches: list[Batch] | None = None
        self.shares = False
        self.failed = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                "`checkpoint_dir` must be a folder that can be made. Got "
                f"{error}. Name another one."
            ) from error
        if self.manifest.exists():
            self._compare(self._read_manifest())

    def start(self, batches: list[Batch]) -> list[Batch]:
        """Record the batches of a new run, or give those of the run that goes on."""
        if self.batches is not None:
            self._clear()
            return self.batches
        content = {
            "identity": self.identity,
            "batches": [[b.number, b.name, list(b.tickers)] for b in batches],
        }
        self._write(self.manifest, json.dumps(content, indent=1).encode())
        return batches

    def load(self, task: Task) -> Outcome | None:
        """Give the outcome of a task that was finished before, or None."""
        return self._load(self._path(task))

    def load_shared(self) -> Any:
        """Give the models that all batches share, or None."""
        return self._load(self.folder / _SHARED)

    def save_shared(self, models: Any) -> None:
        """Write the models that all batches share; raises as :meth:`save`."""
        self._save(self.folder / _SHARED, models)

    def give_up(self, name: str, error: Exception) -> Event:
        """Say once that the run goes on without checkpoints, and write no more."""
        self.failed = True
        warn_user(
            "`checkpoint_dir` must be writable. Got "
            f"{describe_error(error)}, so this run goes on without checkpoints. Make "
            "room there before the next one.",
            BatchWarning,
        )
        return Event(name, "no checkpoint", (), describe_error(error))

    def _load(self, path: Path) -> Any:
        """Read a file, None if it is not there or damaged."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:_DIGEST], content[_DIGEST:]
        if digest != _hash(payload):
            _LOGGER.warning("checkpoint %s is damaged; its work is done again", path)
            return None
        return joblib.load(io.BytesIO(payload))

    def save(self, task: Task, outcome: Outcome) -> None:
        """Write the outcome of a task.

        Raises
        ------
        OSError
            If the disk is full, or the folder not writable.
        CheckpointError
            If a forecaster cannot be pickled.
        """
        self._save(self._path(task), outcome)

    def _save(self, path: Path, content: Any) -> None:
        """Pickle something, and write it behind its hash."""
        buffer = io.BytesIO()
        try:
            joblib.dump(content, buffer)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"Forecasters must be picklable for checkpoints. Got {error}. Define "
                "their class in a module, or pass no checkpoint_dir."
            ) from error
        payload = buffer.getvalue()
        self._write(path, _hash(payload) + payload)

    def _path(self, task: Task) -> Path:
        """Name the file of a task, which is one of several with the batch's number."""
        content = repr((task.rung, task.batch.tickers, self.shares)).encode()
        key = hashlib.blake2b(content, digest_size=6).hexdigest()
        return self.folder / f"batch-{task.batch.number:04d}-{key}.skbatch"

    def _clear(self) -> None:
        """Remove what a killed run was writing, which may be as large as its panel."""
        for path in self.folder.glob(".writing-*"):
            path.unlink(missing_ok=True)
        for path in self.folder.glob(f"{ROWS}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all."""
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _read_manifest(self) -> dict[str, Any]:
        """Read what the checkpoint in the folder is of."""
        try:
            content = json.loads(self.manifest.read_bytes())
            self.batches = [
                Batch(n, name, tuple(t)) for n, name, t in content["batches"]
            ]
            return dict(content["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                "`checkpoint_dir` must hold a checkpoint or nothing. Got "
                f"'{self.folder}' with a manifest that cannot be read ({error}). Name "
                "another folder, or delete this one."
            ) from error

    def _compare(self, found: Mapping[str, str]) -> None:
        """Refuse the checkpoint of another run."""
        names = dict.fromkeys([*self.identity, *found])
        others = [n for n in names if self.identity.get(n) != found.get(n)]
        if others:
            raise CheckpointError(
                "`checkpoint_dir` must belong to the same prices and settings. Got "
                f"'{self.folder}', made with other {', '.join(others)}. Name another "
                "folder, or delete this one to start anew."
            )


def _hash(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST).digest()
