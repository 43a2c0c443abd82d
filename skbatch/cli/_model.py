"""Models in files: fitted once, and used for the rows that follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skbatch._messages import collect_warnings, date_text, format_tickers, warn_user
from skbatch._writing import written_whole
from skbatch.cli._output import check_place
from skbatch.cli._shell import UserError, file_error
from skbatch.exceptions import HistoryWarning, PanelError

if TYPE_CHECKING:
    import pandas as pd


def check_model(model: Path) -> None:
    """Raise before the work is done if the model cannot be written."""
    check_place("--model", model)


def save(system: Any, model: Path) -> None:
    """Write a fitted system whole or not at all."""
    import joblib

    try:
        with written_whole(model) as file:
            joblib.dump(system, file)
    except OSError as error:
        raise UserError(f"`--model` must be writable. Got {error}.") from error


def load(model: Path) -> Any:
    """Read a fitted system."""
    import joblib

    from skbatch.batch import BatchForecastingSystem

    rule = "`--model` must be a file that `skbatch fit` wrote."
    try:
        system = joblib.load(model)
    except OSError as error:
        raise UserError(f"{rule} Got {file_error(error)}. Fit first.") from error
    except Exception as error:  # whatever other content is taken for
        kind = type(error).__name__
        raise UserError(f"{rule} Got '{model}' ({kind}). Fit again.") from error
    if not isinstance(system, BatchForecastingSystem) or not hasattr(system, "fitted_"):
        raise UserError(f"{rule} Got a {type(system).__name__}. Fit again.")
    return system


def rows_after(system: Any, panel: pd.DataFrame) -> pd.DataFrame | None:
    """Take what a fitted system needs of a file, None if that has nothing new."""
    recent, extractor = system.tickers_.recent, system.fitted_.extractor
    zones = [getattr(index, "tz", None) for index in (panel.index, recent.index)]
    if (zones[0] is None) != (zones[1] is None):
        raise UserError(
            "PRICES must have a time zone as the model has, or none. Got "
            f"{zones[0]}, fitted with {zones[1]}. Write the dates as in that file."
        )
    end, last = recent.index[-1], panel.index[-1]
    if last < end:
        raise UserError(
            f"PRICES must not end before the model, which knows {date_text(end)}. Got "
            f"{date_text(last)}, which is stale. Download newer prices."
        )
    if last == end:
        _check_same(recent, panel, end)
        return None
    first = recent.index[0] if extractor is None else extractor.history_.index[0]
    if panel.index[0] <= first:
        # It brings all that features look back on, also if prices were adjusted since.
        return panel
    _check_same(recent, panel, end)
    return panel.loc[panel.index > end]


def _check_same(recent: pd.DataFrame, panel: pd.DataFrame, date: Any) -> None:
    """Raise if prices of a date differ from those that were fitted on."""
    if date not in panel.index:
        return
    before, now = recent.loc[date], panel.loc[date].reindex(recent.columns)
    changed = (now / before - 1).abs() > 1e-6
    if changed.any():
        names = dict.fromkeys(changed.index[changed].get_level_values(-1))
        raise UserError(
            "PRICES must continue those that the model was fitted on. Got other "
            f"prices of {format_tickers(names)} on {date_text(date)}: they were "
            "adjusted or corrected since. Fit again."
        )


@contextmanager
def refuse_gaps() -> Iterator[None]:
    """Turn the warning of missing rows into an error, and show all others."""
    try:
        with collect_warnings() as collected:
            yield
    except PanelError as error:
        raise UserError(str(error)) from error
    for category, message in collected:
        if issubclass(category, HistoryWarning):
            found = message.partition(" Pass all rows")[0]
            raise UserError(f"{found} Download all rows, or fit again.")
        warn_user(message, category)
