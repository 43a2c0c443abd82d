"""Finished batches on disk, so that a killed run redoes only what is missing."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import pickle
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import joblib

from skbatch._messages import describe_error, warn_user
from skbatch._version import __version__
from skbatch._writing import lock, remove_unfinished, write_whole
from skbatch.batch._batch_task import Event, Outcome, Task
from skbatch.batch._manager import Batch
from skbatch.exceptions import BatchWarning, CheckpointError

_DIGEST = 32
_LOGGER = logging.getLogger("skbatch")


class Checkpoint:
    """A folder with the outcome of each finished task, locked until it is closed."""

    # Each file begins with a hash of the rest, by which a damaged one is recognized.

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, str]):
        self.folder = Path(folder)
        self.identity = {"skbatch": __version__, **identity}
        self.manifest = self.folder / "manifest.json"
        self.batches: list[Batch] | None = None
        self.failed = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                "`checkpoint_dir` must be a folder that can be created. Got "
                f"'{self.folder}' ({error.strerror or error}). Name another folder."
            ) from error
        self._lock = self._locked()
        try:
            remove_unfinished(self.folder)
            if self.manifest.exists():
                self._compare(self._read_manifest())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs use the folder."""
        if self._lock is not None:
            self._lock.close()

    def start(self, batches: list[Batch]) -> list[Batch]:
        """Record the batches of a new run, or give those of the run that goes on."""
        if self.batches is not None:
            return self.batches
        content = {
            "identity": self.identity,
            "batches": [[b.number, b.name, list(b.tickers)] for b in batches],
        }
        write_whole(self.manifest, json.dumps(content, indent=1))
        return batches

    def load(self, task: Task) -> Outcome | None:
        """Return the outcome of a task that was finished before, or None."""
        path = self._path(task)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:_DIGEST], content[_DIGEST:]
        if digest != _hash(payload):
            _LOGGER.warning("checkpoint %s is damaged; its work will be repeated", path)
            return None
        outcome: Outcome = joblib.load(io.BytesIO(payload))
        return outcome

    def give_up(self, name: str, error: Exception) -> Event:
        """Warn once that the run continues without checkpoints, and write no more."""
        self.failed = True
        warn_user(
            "`checkpoint_dir` must be writable. Got "
            f"{describe_error(error)}, so this run continues without checkpoints. Free "
            "disk space before the next run.",
            BatchWarning,
        )
        return Event(name, "no checkpoint", (), describe_error(error))

    def save(self, task: Task, outcome: Outcome) -> None:
        """Write the outcome of a task."""
        buffer = io.BytesIO()
        try:
            joblib.dump(outcome, buffer)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"Forecasters must be picklable for checkpoints. Got {error}. Define "
                "their class in a module, or pass no checkpoint_dir."
            ) from error
        payload = buffer.getvalue()
        write_whole(self._path(task), _hash(payload) + payload)

    def _path(self, task: Task) -> Path:
        """Name the file of a task, which is one of several with the batch's number."""
        content = repr((task.rung, task.batch.tickers)).encode()
        key = hashlib.blake2b(content, digest_size=6).hexdigest()
        return self.folder / f"batch-{task.batch.number:04d}-{key}.skbatch"

    def _locked(self) -> IO[bytes] | None:
        """Lock the folder, or name the process using it; None without locks."""
        try:
            file = (self.folder / "lock").open("a+b")
        except OSError:  # of a folder that cannot be written
            return None
        try:
            free = lock(file)
        except OSError:
            _LOGGER.warning(
                "%s cannot be locked; let only one run use it at a time", self.folder
            )
            return file
        if free:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            file.flush()
            return file
        holder = "another run"
        with file, suppress(OSError):
            file.seek(0)
            holder = file.read().decode(errors="replace") or holder
        raise CheckpointError(
            "`checkpoint_dir` must be used by one run at a time. Got "
            f"'{self.folder}', in use by {holder}. Wait for that run to end, or name "
            "another folder."
        )

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
                "`checkpoint_dir` must be empty or hold a checkpoint. Got "
                f"'{self.folder}' with a manifest that cannot be read ({error}). Name "
                "another folder, or delete this one."
            ) from error

    def _compare(self, found: Mapping[str, str]) -> None:
        """Reject the checkpoint of another run."""
        names = dict.fromkeys([*self.identity, *found])
        others = [n for n in names if self.identity.get(n) != found.get(n)]
        if others:
            raise CheckpointError(
                "`checkpoint_dir` must belong to the same prices and settings. Got "
                f"'{self.folder}', which was made with other {', '.join(others)}. "
                "Name another folder, or delete this one to start over."
            )


def _hash(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST).digest()
