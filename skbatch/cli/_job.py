"""From a file of prices to a fitted system, and from that to forecasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skbatch._messages import count, format_tickers, warn_user
from skbatch.cli._shell import Stages, UserError, file_error
from skbatch.cli._show import Result
from skbatch.exceptions import BatchWarning

if TYPE_CHECKING:
    import pandas as pd

READ_ERRORS = (OSError, ValueError, ImportError)


@dataclass(frozen=True)
class Source:
    """A file of prices, and how it is read."""

    prices: Path
    field: str | None
    date: str | None
    ticker: str | None
    value: str | None
    id: str | None = None

    def read(self) -> pd.DataFrame:
        """Read the file."""
        from skbatch.panel import read_panel

        names = {"field": self.field, "date": self.date, "ticker": self.ticker}
        return read_panel(self.prices, **names, value=self.value, id=self.id)


def given(**options: Any) -> dict[str, Any]:
    """Select the options that were given, with the types that settings have."""
    found = {name: value for name, value in options.items() if value not in (None, {})}
    budget = found.get("memory_budget", "")
    if budget.replace(".", "", 1).isdigit():
        number = float(budget)
        found["memory_budget"] = number if number <= 1 else int(number)
    if "checkpoint_dir" in found:
        found["checkpoint_dir"] = str(found["checkpoint_dir"])
    return found


def settings_of(
    horizon: Any,
    delay: int | None = None,
    memory_budget: str | None = None,
    checkpoint_dir: Path | None = None,
    n_jobs: int | None = None,
    delisting_return: float | None = None,
) -> dict[str, Any]:
    """Arrange options in the sections of a configuration."""
    return {
        "horizon": one_or_all(horizon),
        "delay": delay,
        "delisting_return": delisting_return,
        "batch": given(memory_budget=memory_budget, checkpoint_dir=checkpoint_dir),
        "performance": given(n_jobs=n_jobs),
    }


def one_or_all(values: list[Any] | None) -> Any:
    """Return the only value of a list, or else the list."""
    return values[0] if values and len(values) == 1 else values or None


def make_system(config: Path | None, options: dict[str, Any], stages: Stages) -> Any:
    """Create a system from a settings file, the environment and the options."""
    with stages.stage("start"):
        from skbatch.config import BatchForecastingConfig

        try:
            settings = BatchForecastingConfig.from_file(config, **given(**options))
        except OSError as error:
            raise UserError(
                f"`--config` must be a file that can be read. Got {file_error(error)}. "
                "Check the path."
            ) from error
        return settings.to_system()


def read_prices(read: Callable[[], pd.DataFrame], stages: Stages) -> pd.DataFrame:
    """Read prices, or explain what is wrong with the file."""
    try:
        with stages.stage("read"):
            return read()
    except READ_ERRORS as error:
        raise UserError(str(error)) from error


def fit_system(
    read: Callable[[], pd.DataFrame], system: Any, stages: Stages
) -> pd.DataFrame:
    """Read prices, fit a system on them, and return them."""
    from skbatch.panel import forward_returns

    panel = read_prices(read, stages)
    try:
        forward_returns(panel, system.horizon, system.delay)
    except ValueError as error:
        raise UserError(str(error)) from error
    with stages.stage("fit"):
        system.set_callbacks(stages).fit(panel)
    system.set_callbacks()
    _warn_of_jumps(system.screening_)
    stages.split("fit", "features", system.performance_.report()["seconds"])
    return panel


def _warn_of_jumps(screening: pd.DataFrame) -> None:
    """Warn of old prices that look wrong, and from which models have learned."""
    jumps = screening[(screening["rule"] == "jump") & (screening["action"] == "noted")]
    if len(jumps):
        found = [f"{ticker} ({detail})" for ticker, detail in jumps["detail"].items()]
        warn_user(
            f"The prices of {count(len(jumps), 'ticker')} have changes that look like "
            f"errors: {format_tickers(found)}. Correct them if they are wrong, because "
            "models learn from them.",
            BatchWarning,
        )


def forecast_with(
    system: Any, panel: pd.DataFrame, later: pd.DataFrame | None, stages: Stages
) -> Result:
    """Forecast from the last fitted row, or from the last of later rows."""
    with stages.stage("forecast"):
        result = system.forecast(later)
    return Result(
        panel,
        _tabulate(result),
        result.performance,
        relative_to=result.relative_to,
    )


def _tabulate(result: Any) -> pd.DataFrame:
    """Tabulate forecasts in the order of the panel, horizon by horizon."""
    table = result.to_frame().reset_index()
    if "horizon" not in table:
        table["horizon"] = result.horizon
    table["date"], table["delay"] = result.date, result.delay
    first = ["ticker", "date", "horizon", "delay"]
    return table[first + [name for name in table if name not in first]]
