"""Tables as vendors write them: the closes that come out are known beforehand."""

import re

import numpy as np
import pandas as pd
import pytest

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel, read_panel

# What a column holds: open, high, low, close, volume; x are unadjusted closes, which
# must not come out, and a other numbers.
VENDORS = {
    "Alpha Vantage": {
        "1. open": "o",
        "2. high": "h",
        "3. low": "l",
        "4. close": "c",
        "5. volume": "v",
    },
    "Alpha Vantage, adjusted": {
        "1. open": "o",
        "4. close": "x",
        "5. adjusted close": "c",
        "6. volume": "v",
        "7. dividend amount": "a",
        "8. split coefficient": "a",
    },
    "Polygon": {"o": "o", "h": "h", "l": "l", "c": "c", "v": "v", "vw": "a", "n": "a"},
    "capitals": {"O": "o", "H": "h", "L": "l", "C": "c", "V": "v"},
    "Bloomberg": {"PX_OPEN": "o", "PX_LAST": "c", "PX_VOLUME": "v"},
    "Tiingo": {
        "close": "x",
        "open": "o",
        "volume": "v",
        "adjClose": "c",
        "adjOpen": "a",
        "adjVolume": "a",
        "divCash": "a",
        "splitFactor": "a",
    },
    "Tiingo, adjusted only": {"adjClose": "c", "adjHigh": "h", "adjVolume": "v"},
    "Sharadar": {"close": "x", "volume": "v", "closeadj": "c", "closeunadj": "a"},
    "Yahoo": {"Close*": "x", "Adj Close**": "c", "Volume": "v"},
    "Yahoo, in words": {
        "Close Close price adjusted for splits.": "x",
        "Adj Close Adjusted close price adjusted for splits and dividend and/or "
        "capital gain distributions.": "c",
        "Volume": "v",
    },
    "EODHD": {"Open": "o", "Close": "x", "Adjusted_close": "c", "Volume": "v"},
    "Nasdaq": {"Close/Last": "c", "Volume": "v", "Open": "o"},
    "Norgate": {"Close": "c", "Volume": "v", "Turnover": "a", "Unadjusted Close": "x"},
    "Stooq": {"<OPEN>": "o", "<CLOSE>": "c", "<VOL>": "v", "<OPENINT>": "a"},
    "qlib": {"$open": "o", "$close": "c", "$volume": "v"},
    "Investing": {
        "Price": "c",
        "Open": "o",
        "High": "h",
        "Low": "l",
        "Vol.": "v",
        "Change %": "a",
    },
    "Refinitiv": {"Close": "c", "Net": "a", "%Chg": "a", "Open": "o", "Volume": "v"},
    "German": {"Eröffnung": "o", "Schlusskurs": "c", "Volumen": "v"},
    "Japanese": {"始値": "o", "高値": "h", "安値": "l", "終値": "c", "出来高": "v"},
    "LSEG": {"OPEN_PRC": "o", "HIGH_1": "h", "LOW_1": "l", "TRDPRC_1": "c"},
    "IEX": {"close": "x", "fClose": "c", "volume": "v"},
    "French": {"Ouverture": "o", "Clôture": "c", "Volume": "v"},
    "CoinGecko": {"price": "c", "market_cap": "a", "total_volume": "v"},
    "WIKI": {"Close": "x", "Adj. Open": "a", "Adj. Close": "c", "Volume": "v"},
    "tidyquant": {"close": "x", "volume": "v", "adjusted": "c"},
    "quantmod": {"Close": "x", "Volume": "v", "Adjusted": "c"},
    "one field": {"Adj Close": "c"},
}
pytestmark = pytest.mark.filterwarnings("ignore:Fields beside prices")


def fields_of(close, columns):
    """Make the fields of one ticker around its closes."""
    jump = np.where(np.arange(len(close)) < 40, 4.0, 1.0)
    values = {
        "o": close * 0.99,
        "h": close * 1.02,
        "l": close * 0.97,
        "c": close,
        "v": close * 0 + 5e6,
        "x": close * jump,
        "a": close * 0 + 7.7,
    }
    return pd.DataFrame({name: values[kind] for name, kind in columns.items()})


def closes_of(panel):
    return panel["Close"] if panel.columns.nlevels == 2 else panel


def assert_closes(panel, closes):
    """The closes come out; volumes are volumes, and nothing else is a ticker."""
    found = closes_of(panel)
    assert sorted(found) == sorted(closes)
    np.testing.assert_allclose(found[list(closes)], closes)
    assert list(found.index) == list(closes.index)
    if panel.columns.nlevels == 2 and "Volume" in panel:
        assert (panel["Volume"] == 5e6).all(axis=None)


def read_or_refuse(read, table, **options):
    """Read a table, or give the error."""
    try:
        return read(table, **options)
    except PanelError as error:
        return error


@pytest.fixture(params=VENDORS)
def columns(request):
    return VENDORS[request.param]


def test_one_ticker(columns, closes):
    table = fields_of(closes["AAPL"], columns)
    assert_closes(read_panel(table, ticker="AAPL"), closes[["AAPL"]])
    with pytest.raises(PanelError, match='such as `ticker="AAPL"`'):
        read_panel(table)
    with pytest.raises(PanelError, match="of one ticker") as error:
        check_panel(table)
    # What the message advises is right.
    assert 'pd.concat({"TICKER": X}, axis=1)' in str(error.value)
    assert_closes(check_panel(pd.concat({"AAPL": table}, axis=1)), closes[["AAPL"]])


@pytest.mark.parametrize("ticker_first", [True, False])
def test_two_levels(columns, closes, ticker_first):
    table = pd.concat({t: fields_of(closes[t], columns) for t in closes}, axis=1)
    table = table if ticker_first else table.swaplevel(axis=1)
    assert_closes(check_panel(table), closes)
    assert_closes(read_panel(table), closes)


@pytest.mark.parametrize("more", [{}, {"sector": "x", "exchange": "N"}])
def test_long(columns, closes, more):
    parts = [fields_of(closes[t], columns).assign(symbol=t, **more) for t in closes]
    table = pd.concat(parts).rename_axis("date").reset_index()
    assert_closes(read_panel(table), closes)


JOINS = [
    "{f}_{t}",
    "{t}_{f}",
    "{t} {f}",
    "('{f}', '{t}')",
    "('{t}', '{f}')",
    "{t}.{f}",
    "{t}|{f}",
    "{f}:{t}",
    "{f} - {t}",
    "{t}[{f}]",
    "{t}, {f}",
    "[{f}, {t}]",
    "<{t}>{f}",
    "{t}#{f}",
    "{t}${f}",
    "{t} - {f} (USD)",
]


@pytest.mark.parametrize(
    "join",
    # The others are read for the usual fields below, and among the slow tests for all.
    [*JOINS[:6], *(pytest.param(join, marks=pytest.mark.slow) for join in JOINS[6:])],
)
def test_flattened(columns, closes, join):
    table = pd.concat({t: fields_of(closes[t], columns) for t in closes}, axis=1)
    table.columns = [join.format(f=field, t=ticker) for ticker, field in table]
    found = read_or_refuse(check_panel, table)
    if isinstance(found, PanelError):
        assert re.search("of one ticker|which may be fields", str(found))
    else:
        assert_closes(found, closes)


@pytest.mark.parametrize("join", [*JOINS, "{t}{f}"])
@pytest.mark.parametrize("names", [["Close", "Volume"], ["Close"], ["Adj Close"]])
def test_usual_fields_are_split(closes, join, names):
    columns = {name: "v" if name == "Volume" else "c" for name in names}
    closes = closes.rename(columns={"BRK.B": "BRK"}) if join == "{t}{f}" else closes
    table = pd.concat({t: fields_of(closes[t], columns) for t in closes}, axis=1)
    table.columns = [join.format(f=field, t=ticker) for ticker, field in table]
    for read in (read_panel, check_panel):
        panel = read(table)
        assert_closes(panel, closes)
        assert panel.columns.nlevels == len(names)


def test_names_that_are_tuples(closes):
    table = pd.concat({"Close": closes, "Volume": closes * 0 + 5e6}, axis=1)
    table.columns = table.columns.to_flat_index()
    assert_closes(check_panel(table), closes)


ADJUSTED = [
    "adjusted",
    "Adj. Close",
    "closeadj",
    "5. adjusted close",
    "Adj Close**",
    "adj.close",
    "Close_adj",
    "adjClose",
    "Adj_Close",
    "ADJ CLOSE",
    "adjusted_close",
    "Close (adj)",
    "close_adjusted",
    "AdjClosePrice",
    "Adjusted Closing Price",
    "<ADJCLOSE>",
    "px_adj",
]


@pytest.mark.parametrize("name", ADJUSTED)
def test_adjusted_closes_of_any_spelling(name, closes):
    one = fields_of(closes["AAPL"], {"close": "x", name: "c"})
    found = read_or_refuse(read_panel, one, ticker="AAPL")
    if isinstance(found, PanelError):
        assert "must have a name that is known" in str(found)
    else:
        assert_closes(found, closes[["AAPL"]])


DOUBTFUL = [
    "cfacpr",
    "AdjFactor",
    "adj_factor",
    "TOT_RETURN_INDEX_GROSS_DVDS",
    "ajexdi",
    "factor",
    "px adjusted somehow",
    "bereinigter Schlusskurs",
    "Schlusskurs (bereinigt)",
    "Cours ajusté",
    "調整後終値",
    "Total Return Close",
    "Close (split & div adj)",
]


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_may_be_adjusted_is_neither_taken_nor_dropped(name, closes):
    columns = {"close": "c", name: "a"}
    parts = {t: fields_of(closes[t], columns) for t in closes}
    long = pd.concat([part.assign(symbol=t) for t, part in parts.items()])
    long = long.rename_axis("date").reset_index()
    two_levels = pd.concat(parts, axis=1)
    message = re.escape(f"Got {name!r}. If these are adjusted closes, use")
    for read in (
        lambda: read_panel(long),
        lambda: check_panel(two_levels),
        lambda: check_panel(two_levels.swaplevel(axis=1)),
        lambda: read_panel(parts["AAPL"], ticker="AAPL"),
    ):
        with pytest.raises(PanelError, match=message):
            read()
    # Both ways that the message shows.
    adjusted = read_panel(long.rename(columns={name: "Adj Close"}))
    np.testing.assert_allclose(adjusted, 7.7)
    assert_closes(read_panel(long.drop(columns=[name])), closes)
    assert_closes(check_panel(two_levels.drop(columns=[name], level=1)), closes)
    assert_closes(read_panel(long, value="close"), closes)


@pytest.mark.parametrize(
    "name",
    [
        "Volume",
        "volume",
        "VOLUME",
        "AAPL_Volume",
        "Volume AAPL",
        "volume_AAPL",
        "AAPL.Adjusted",
        "Adj Close",
        "Close",
        "close",
        "Price",
        "Turnover",
        "AAPL_Close",
        "Dividends",
        "Umsatz",
        "Shares Outstanding",
        "daily_return",
    ],
)
def test_a_field_among_tickers_is_refused(name, closes):
    table = closes.assign(**{name: 5e6})
    for read in (read_panel, check_panel):
        with pytest.raises(PanelError, match=re.escape(f"Got {name!r}, which may be")):
            read(table)
    assert_closes(check_panel(table.drop(columns=[name])), closes)
    assert_closes(check_panel(pd.concat({"Close": table}, axis=1)), table)


_NAMES = """
    OPEN LOW HIGH-USD BRK.B BF-B C V T O L H N TIME DAY CODE NAME ADJ.DE VOL.AX
    LOW.DE OPEN.L LAST.L BTC-USD NET BID COIN DATA LAST KEY INDEX.X 7203.T 0700.HK
    600519 ^GSPC EURUSD=X RE BAR TS IT ALL ROW STOCK VOD.L AAPL.O MSFT.O
"""
LISTED = _NAMES.split()


def make_listed(tickers, closes):
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 0.02, (60, len(tickers))).cumsum(axis=0)
    return pd.DataFrame(97.3 * np.exp(steps), closes.index, tickers)


@pytest.mark.parametrize(
    "tickers",
    [
        LISTED,
        ["AAPL US Equity", "MSFT US Equity"],
        ["C", "V"],
        ["O", "H", "L"],
        ["T", "V", "C"],
        ["OPEN", "LOW"],
        ["HIGH-USD", "LOW-USD", "BTC-USD"],
        *([ticker] for ticker in LISTED if ticker != "LAST"),
    ],
    ids=lambda tickers: f"{len(tickers)} {tickers[0]}",
)
def test_listed_tickers_are_tickers(tickers, closes, tmp_path):
    table = make_listed(tickers, closes)
    assert check_panel(table) is table
    table.rename_axis("Date").to_csv(tmp_path / "prices.csv")
    assert list(read_panel(tmp_path / "prices.csv")) == tickers
    assert list(read_panel(table.rename_axis("Date").reset_index())) == tickers


def test_letters_that_may_be_tickers_or_fields_show_both_readings(closes):
    table = make_listed(list("OHLCV"), closes)
    with pytest.raises(PanelError, match="If these are tickers, use") as error:
        check_panel(table)
    assert 'pd.concat({"TICKER": X}, axis=1)' in str(error.value)
    fields = check_panel(pd.concat({"TICKER": table}, axis=1))
    assert_closes(fields[["Close"]], table[["C"]].set_axis(["TICKER"], axis=1))
    assert_closes(check_panel(pd.concat({"Close": table}, axis=1)), table)


def test_a_close_in_two_spellings_names_both(closes):
    parts = {"close": closes, "PX_LAST": closes}
    with pytest.raises(PanelError, match=r"Drop all but one of 'close', 'PX_LAST'\."):
        check_panel(pd.concat(parts, axis=1))


def test_text_in_columns_that_panels_lack_does_not_matter(closes):
    columns = VENDORS["Investing"]
    table = fields_of(closes["AAPL"], columns).assign(**{"Change %": "-1.20%"})
    with pytest.warns(PanelWarning, match="Change %, which is ignored"):
        panel = read_panel(table, ticker="AAPL")
    assert_closes(panel, closes[["AAPL"]])
