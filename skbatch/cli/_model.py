"""Models in files: fitted once, and used to forecast later rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skbatch._messages import collect_warnings, date_text, format_tickers, warn_user
from skbatch._writing import written_whole
from skbatch.cli._output import check_place
from skbatch.cli._shell import UserError, file_error, unwritable
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
        raise unwritable("`--model`", model, error) from error


def load(model: Path) -> Any:
    """Read a fitted system."""
    import joblib

    from skbatch.batch import BatchForecastingSystem

    rule = "`--model` must be a file that `skbatch fit` wrote."
    advice = "Run `skbatch fit` again."
    try:
        system = joblib.load(model)
    except OSError as error:
        raise UserError(
            f"{rule} Got {file_error(error)}. Run `skbatch fit` first."
        ) from error
    except Exception as error:  # unpickling other content may raise anything
        kind = type(error).__name__
        raise UserError(f"{rule} Got '{model}' ({kind}). {advice}") from error
    if not isinstance(system, BatchForecastingSystem) or not hasattr(system, "fitted_"):
        raise UserError(f"{rule} Got a {type(system).__name__}. {advice}")
    return system


def rows_after(system: Any, panel: pd.DataFrame) -> pd.DataFrame | None:
    """Select the rows that a fitted system needs, or None if none of them is new."""
    recent, extractor = system.tickers_.recent, system.fitted_.extractor
    zones = [getattr(index, "tz", None) for index in (panel.index, recent.index)]
    if (zones[0] is None) != (zones[1] is None):
        raise UserError(
            "PRICES and the prices of the model must both have a time zone, or both "
            f"have none. Got {zones[0]}; the model was fitted with {zones[1]}. Write "
            "the dates as in the file that it was fitted on."
        )
    end, last = recent.index[-1], panel.index[-1]
    if last < end:
        raise UserError(
            "PRICES must not end before the rows that the model was fitted on. Got "
            f"{date_text(last)}, before {date_text(end)}. Download newer prices."
        )
    if last == end:
        _check_same(recent, panel, end)
        return None
    first = recent.index[0] if extractor is None else extractor.history_.index[0]
    if panel.index[0] <= first:
        # The file covers the whole lookback, so prices may have been adjusted since.
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
            "PRICES must continue the prices that the model was fitted on. Got "
            f"different prices of {format_tickers(names)} on {date_text(date)}, which "
            "were adjusted or corrected since. Pass the whole history, or run "
            "`skbatch fit` again."
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
            raise UserError(f"{found} Download all rows, or run `skbatch fit` again.")
        warn_user(message, category)
