"""What the forecasts of a run depend on, hashed by name."""

from __future__ import annotations

import dis
import pickle
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import xgboost

from skbatch.exceptions import CheckpointError

PARTS = ("features", "forecaster", "error_handler")
# Parameters of this package's classes on which forecasts do not depend.
_HOW_TO_RUN = {"n_jobs", "engine", "checkpoint_dir", "memory_budget", "cache_size"}
_HOW_TO_RUN |= {"coverage"}
_READS_FILES = re.compile(r"read_\w+|open|load|loadtxt|genfromtxt|getenv|environ")
_LIBRARIES = ("site-packages", "dist-packages", sys.base_prefix)


class UnidentifiedError(Exception):
    """A function depends on something that can change without a trace."""


def run_identity(system: Any, panel: pd.DataFrame) -> Mapping[str, str]:
    """Hash the prices and settings of a system's run, by name."""
    identity = {"prices": joblib.hash(panel)}
    for name, value in _settings(system):
        try:
            identity[name] = _fingerprint(value)
        except (UnidentifiedError, pickle.PicklingError, TypeError) as error:
            raise CheckpointError(
                f"Settings must be identifiable for checkpoints. Got {name}, for "
                f"which that is not so ({error}). Use functions that read nothing but "
                "their arguments, or pass no checkpoint_dir."
            ) from error
    if system.memory_budget is not None and system.max_batch_size is None:
        # A budget is for the machine of the day; the first run's batches are kept.
        identity["memory_budget"] = "given"
    # Trees of the same settings differ between releases.
    identity["xgboost"] = xgboost.__version__
    return identity


def _settings(system: Any) -> Iterator[tuple[str, Any]]:
    """List the parameters of a system and its parts, by name."""
    for name, value in system.get_params(deep=False).items():
        if name in PARTS:
            yield from _nested(name, system._part(name))
        elif name == "horizon":
            yield name, np.ravel(value)
        elif name not in _HOW_TO_RUN:
            yield name, value


def _nested(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """List a part's class and its parameters, those of parts inside it included."""
    if not hasattr(part, "get_params"):
        yield name, part
        return
    kind = type(part)
    yield name, f"{kind.__module__}.{kind.__qualname__}"
    ours = kind.__module__.startswith("skbatch.")
    for key, value in part.get_params(deep=False).items():
        if not (ours and key in _HOW_TO_RUN):
            yield from _nested(f"{name}__{key}", value)


def _fingerprint(value: Any) -> str:
    """Hash a setting; of functions their code and what it reads."""
    if isinstance(value, Mapping):
        parts = [(key, _fingerprint(item)) for key, item in value.items()]
        return joblib.hash(parts)
    if isinstance(value, FunctionType):
        return joblib.hash(_function_parts(value, frozenset()))
    if callable(value) and not isinstance(value, type):
        raise UnidentifiedError(f"{type(value).__name__} is no plain function")
    return joblib.hash(value)


def _function_parts(function: FunctionType, seen: frozenset[CodeType]) -> list[Any]:
    """Gather the code of a function and all that it reads."""
    code = function.__code__
    if code in seen:
        return []
    seen |= {code}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    held = [*cells, *(function.__defaults__ or ())]
    held += sorted((function.__kwdefaults__ or {}).items())
    parts = [_code_parts(code), [_held(value, seen) for value in held]]
    files = sorted(filter(_READS_FILES.fullmatch, _names(code)))
    if files:
        raise UnidentifiedError(f"it calls {files[0]}, which reads what may change")
    for name in _imports(code):
        try:
            _held(import_module(name), seen)
        except (ImportError, ValueError) as error:
            raise UnidentifiedError(f"it imports {name!r}") from error
    # Attributes have names, too; the name of a global may be that of one.
    known = sorted(_names(code) & function.__globals__.keys())
    return [*parts, *((n, _held(function.__globals__[n], seen)) for n in known)]


def _held(value: Any, seen: frozenset[CodeType]) -> Any:
    """Identify a value that a function reads: a constant, a function or a library."""
    if isinstance(value, FunctionType):
        if _is_library(sys.modules.get(value.__module__)):
            return f"{value.__module__}.{value.__qualname__}"
        return _function_parts(value, seen)
    if isinstance(value, ModuleType):
        if not _is_library(value):
            raise UnidentifiedError(f"it reads the module {value.__name__}")
        return f"{value.__name__} {getattr(value, '__version__', '')}"
    if isinstance(value, type) and _is_library(sys.modules.get(value.__module__)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, str | bytes | int | float | complex | None):
        return value
    if isinstance(value, tuple | list | set | frozenset | dict | np.ndarray):
        return joblib.hash(value)
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        return joblib.hash(value)
    if type(value).__name__ in ("builtin_function_or_method", "ufunc"):
        return repr(value)
    raise UnidentifiedError(f"it reads a {type(value).__name__}")


def _is_library(module: ModuleType | None) -> bool:
    """Whether a module is installed, so that its code does not change unnoticed."""
    if module is None:
        return False
    path = getattr(module, "__file__", None)
    if path is None:
        return module.__name__ in sys.builtin_module_names
    return any(part in path for part in _LIBRARIES) or "skbatch" in module.__name__


def _code_parts(code: CodeType) -> list[Any]:
    """Gather what a code object does, without line numbers and file names."""
    constants = [
        _code_parts(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts
    ]
    return [code.co_code, code.co_names, code.co_varnames, constants]


def _imports(code: CodeType) -> set[str]:
    """List the modules that code and the functions inside it import."""
    inner = [_imports(c) for c in code.co_consts if isinstance(c, CodeType)]
    found = dis.get_instructions(code)
    names = {str(i.argval) for i in found if i.opname == "IMPORT_NAME"}
    return names.union(*inner)


def _names(code: CodeType) -> set[str]:
    """List the names that code and the functions inside it may read."""
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inner)
