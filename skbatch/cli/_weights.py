"""``skbatch weights``: check forecasts and build a portfolio from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skbatch._messages import count, format_tickers
from skbatch.cli import _options as options
from skbatch.cli._content import make_table, print_as_json, records
from skbatch.cli._holdings import read_holdings
from skbatch.cli._job import Source, fit_system, make_system, settings_of
from skbatch.cli._optimizers import Optimizer, find_optimizer, optimize
from skbatch.cli._output import check_output, is_stdout, write_weights
from skbatch.cli._shell import NOT_OK, UserError, make_console, shown_to_users
from skbatch.cli._show import print_parts, print_written, timing_table

if TYPE_CHECKING:
    import pandas as pd

    from skbatch.portfolio import PreflightReport

RISK_ROWS = 504
# Share of its returns that a ticker needs, and of the dates that all tickers share.
KNOWN_RETURNS, KNOWN_DATES = 0.95, 0.5
# Basis points of the traded value; only used where there are holdings.
COST = 10.0


def weights(
    prices: options.Prices,
    optimizer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="mean-risk: expected return minus a penalty for risk; max-sharpe: "
            "highest expected return per unit of risk; min-risk: lowest risk, whatever "
            "the forecasts; equal: the same weight for every ticker with a forecast.",
        ),
    ] = Optimizer.MEAN_RISK.value,
    max_weight: Annotated[
        float,
        typer.Option(
            metavar="WEIGHT", min=0.0, max=1.0, help="Largest weight of any ticker."
        ),
    ] = 0.1,
    risk_aversion: Annotated[
        float,
        typer.Option(
            metavar="NUMBER",
            min=0.0,
            help="Risk aversion for mean-risk; the higher, the less risk.",
        ),
    ] = 5.0,
    current: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV or Excel file of your current holdings: a ticker column and a "
            "weight, value or shares column. mean-risk then takes trading costs into "
            "account.",
        ),
    ] = None,
    cost: Annotated[
        float,
        typer.Option(
            metavar="POINTS",
            min=0.0,
            help="Transaction cost in basis points of the traded value, for mean-risk.",
        ),
    ] = COST,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the weights to this .csv, .parquet or .xlsx file; - writes CSV "
            "to stdout, and everything else to stderr.",
        ),
    ] = None,
    json: options.Json = False,
    horizon: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS", min=1, help="Rows to forecast ahead.", show_default="5"
        ),
    ] = None,
    delay: options.Delay = None,
    delisting_return: options.DelistingReturn = None,
    field: options.Field = None,
    date: options.Date = None,
    ticker: options.Ticker = None,
    value: options.Value = None,
    id: options.Id = None,
    config: options.Config = None,
    memory_budget: options.MemoryBudget = None,
    n_jobs: options.Jobs = None,
) -> None:
    """Check the forecasts and build a long-only portfolio from them.

    Risk is measured over the last 504 rows. If a check finds an error, no weights are
    computed and the exit code is 3.
    """
    asked = None if horizon is None else [horizon]
    settings = settings_of(asked, delay, memory_budget, None, n_jobs, delisting_return)
    with shown_to_users() as stages:
        chosen = find_optimizer(optimizer)
        if output is not None:
            check_output(output, prices, as_json=json)
        system = make_system(config, settings, stages)
        if not isinstance(system.horizon, int):
            raise UserError(
                "`--horizon` must be one number of rows for a portfolio. Got "
                f"{', '.join(map(str, system.horizon))} from the settings. Pass "
                f"--horizon {system.horizon[0]}, for example."
            )
        panel = fit_system(
            Source(prices, field, date, ticker, value, id).read, system, stages
        )
        with stages.stage("optimize"):
            job = Portfolio(system, panel, chosen, current, cost / 1e4)
            table = job.solve(max_weight, risk_aversion)
        if output is not None and table is not None:
            write_weights(table, output)
    if json:
        print_as_json(job.content(table) | {"seconds": stages.seconds})
    else:
        console = make_console(stderr=is_stdout(output))
        print_parts(console, *job.shown(table), timing_table(stages.seconds))
        print_written(console, None if table is None else output)
    if table is None:
        raise typer.Exit(NOT_OK)


class Portfolio:
    """Forecasts and risk of a panel, and the portfolio that follows from them."""

    def __init__(
        self,
        system: Any,
        panel: pd.DataFrame,
        optimizer: Optimizer,
        current: Path | None,
        cost: float,
    ) -> None:
        import pandas as pd

        from skbatch.panel import periods_per_year
        from skbatch.panel.engine import panel_fields, panel_tickers
        from skbatch.portfolio import ExpectedReturns, preflight

        closes = panel_fields(panel)["close"]
        self.closes = pd.DataFrame(closes, panel.index, panel_tickers(panel))
        self.horizon, self.optimizer, self.current = system.horizon, optimizer, None
        if current is not None:
            self.current = read_holdings(current, self.closes.ffill().iloc[-1])
        self.year, self.cost = periods_per_year(panel.index), cost
        result = system.forecast()
        self.expected = ExpectedReturns.of(result, annualize=False, prices=panel)
        self.covariance, self.left_out = _covariance(self.closes, self.expected)
        held = [] if self.current is None else list(self.current.index)
        self.sold_unseen = [str(t) for t in held if t not in self.covariance.columns]
        self.preflight: PreflightReport = preflight(
            {t: self.expected[t] for t in self.covariance.columns}
            if self.left_out
            else self.expected,
            self.covariance * self.horizon,
            prices=self.closes,
            risk_free_rate=0.0 if optimizer is Optimizer.MAX_SHARPE else None,
            returns_periods=self.horizon,
            covariance_periods=self.horizon,
        )

    def solve(self, max_weight: float, risk_aversion: float) -> pd.DataFrame | None:
        """Find the weights, unless a check failed."""
        import pandas as pd

        n_tickers = len(self.covariance)
        if n_tickers * max_weight < 1:
            least = math.ceil(1000 / n_tickers) / 1000
            raise UserError(
                f"`--max-weight` must be at least 1/{n_tickers} for {n_tickers} "
                f"tickers. Got {max_weight}. Pass --max-weight {least} or more."
            )
        if not self.preflight.ok:
            return None
        tickers = self.covariance.columns
        if self.optimizer is Optimizer.EQUAL:
            found = pd.Series(1 / n_tickers, tickers)
        else:
            mu = pd.Series(dict(self.expected)).reindex(tickers)
            held = self.current
            found = optimize(
                self.optimizer,
                mu,
                self.covariance * self.horizon,
                max_weight=max_weight,
                risk_aversion=risk_aversion,
                held=None if held is None else held.reindex(tickers).fillna(0.0),
                cost=self.cost,
            )
        table = pd.DataFrame({"weight": found}).rename_axis("ticker")
        if self.current is not None:
            table = table.reindex(table.index.union(self.current.index, sort=False))
            table["current"] = self.current
            table = table.fillna(0.0).rename_axis("ticker")
            table["trade"] = table["weight"] - table["current"]
        table["expected_return"] = pd.Series(dict(self.expected))
        return table.sort_values("weight", ascending=False, kind="stable")

    def facts(self, table: pd.DataFrame) -> dict[str, float | int]:
        """Measure a portfolio."""
        chosen = table["weight"].reindex(self.covariance.columns).fillna(0.0)
        variance = float(chosen.to_numpy() @ self.covariance.to_numpy() @ chosen)
        found: dict[str, float | int] = {
            "positions": int((chosen > 0).sum()),
            "expected_return": float(
                (table["weight"] * table["expected_return"]).sum()
            ),
            "annual_volatility": (variance * self.year) ** 0.5,
        }
        if "trade" in table:
            found["turnover"] = float(table["trade"].abs().sum())
            found["cost"] = self.cost * found["turnover"]
        return found

    def shown(self, table: pd.DataFrame | None) -> list[Any]:
        """Lay out the failed checks, the weights and the facts."""
        from skbatch.panel.engine import describe_rows

        checks = make_table("check", "found")
        for name, row in self.preflight.checks.iterrows():
            if not row["ok"]:
                checks.add_row(str(name), f"{row['severity']}: {row['detail']}")
        parts: list[Any] = [self.preflight.verdict]
        parts += [checks] if checks.row_count else []
        if self.left_out:
            parts.append(
                f"Left out because too many of the last {RISK_ROWS} prices are "
                f"missing: {format_tickers(self.left_out)}."
            )
        if self.sold_unseen and table is not None:
            parts.append(
                "Sold because there is no forecast, or too few prices to measure risk: "
                f"{format_tickers(self.sold_unseen)}. To keep these holdings, trade "
                "them by hand."
            )
        if table is None:
            return parts
        facts = self.facts(table)
        rows = describe_rows(self.horizon, self.closes.index)
        text = (
            f"{count(facts['positions'], 'position')}. Expected return over {rows}: "
            f"{facts['expected_return']:+.2%}, before costs. Volatility: "
            f"{facts['annual_volatility']:.1%} a year."
        )
        if "turnover" in facts:
            text += (
                f" Turnover from the current holdings, buys plus sells: "
                f"{facts['turnover']:.1%}, which costs {facts['cost']:.2%}."
            )
        return [*parts, self._weights(table), text]

    def _weights(self, table: pd.DataFrame) -> Any:
        titles = ["weight", *(["current", "trade"] if "trade" in table else [])]
        shown = make_table("ticker", *titles, "expected", numbers=len(titles) + 1)
        for name, row in table.iterrows():
            if row[titles].abs().max() > 0:
                known = row["expected_return"] == row["expected_return"]
                forecast = f"{row['expected_return']:+.2%}" if known else ""
                cells = [f"{row['weight']:.2%}"]
                if "trade" in table:
                    cells += [f"{row['current']:.2%}", f"{row['trade']:+.2%}"]
                shown.add_row(str(name), *cells, forecast)
        return shown

    def content(self, table: pd.DataFrame | None) -> dict[str, Any]:
        """Collect what a script may ask for."""
        return {
            "date": self.closes.index[-1],
            "horizon": self.horizon,
            "optimizer": self.optimizer.value,
            "preflight": records(self.preflight.checks),
            "left_out": self.left_out,
            "sold_unseen": self.sold_unseen,
            "weights": [] if table is None else records(table),
            "facts": {} if table is None else self.facts(table),
        }


def _covariance(closes: pd.DataFrame, expected: Any) -> tuple[pd.DataFrame, list[str]]:
    """Estimate a Ledoit–Wolf covariance, and list tickers that lack prices for it."""
    import pandas as pd
    from sklearn.covariance import LedoitWolf

    wanted = [ticker for ticker in closes if expected[ticker] == expected[ticker]]
    recent = closes[wanted].tail(RISK_ROWS + 1).pct_change(fill_method=None).iloc[1:]
    # Dates that few tickers miss are left out for all, if they are few.
    whole = recent.loc[:, recent.notna().mean() >= KNOWN_RETURNS].dropna()
    if len(whole) < KNOWN_DATES * len(recent):
        whole = recent.dropna(axis=1)
    if whole.shape[1] < 2 or len(whole) < 2:
        raise UserError(
            "PRICES must have at least two tickers with a forecast and nearly all "
            f"prices in the last {RISK_ROWS} rows. Got {whole.shape[1]}. Add tickers, "
            "or fill in the missing prices."
        )
    estimated = LedoitWolf().fit(whole.to_numpy()).covariance_
    left_out = [str(ticker) for ticker in wanted if ticker not in whole]
    return pd.DataFrame(estimated, whole.columns, whole.columns), left_out
