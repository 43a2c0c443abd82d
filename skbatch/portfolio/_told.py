"""Sentences about tickers that several messages share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skbatch._messages import count, format_tickers
from skbatch.portfolio._expected import with_reasons

__all__ = ["of_tickers", "tell_service"]


def of_tickers(number: int, total: int, verb: str = "have") -> str:
    """Count some of all tickers, as a subject: "1 of 4 tickers has"."""
    singular = {"have": "has", "are": "is"}
    return f"{number} of {count(total)} {singular[verb] if number == 1 else verb}"


def tell_service(
    missing: Mapping[str, str], others: Iterable[str], total: int, fate: str, where: str
) -> str:
    """Say which tickers have no forecast, or not that of the first choice.

    Parameters
    ----------
    missing : mapping of str to str
        Tickers without a forecast, with the reason of each.
    others : iterable of str
        Tickers with that of another model.
    total : int
        Number of all tickers.
    fate : str
        What becomes of `missing`, such as "which are NaN".
    where : str
        What holds all reasons.

    Returns
    -------
    str
        Empty if there are neither.
    """
    others, told = list(others), []
    if missing:
        told.append(
            f"{of_tickers(len(missing), total)} no forecast, {fate}: "
            f"{with_reasons(missing)}."
        )
    if others:
        told.append(
            f"{of_tickers(len(others), total, 'are')} not served by the first choice: "
            f"{format_tickers(others)}."
        )
    return " ".join([*told, f"See {where} for all reasons."]) if told else ""
