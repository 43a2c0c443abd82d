"""Tables that pass for prices and are something else, and how to mend them."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from skbatch.exceptions import PanelError
from skbatch.panel import check_panel, forward_returns, read_panel
from skbatch.panel.engine import adopt_table


def assert_prices(panel, closes):
    pd.testing.assert_frame_equal(
        panel,
        closes,
        check_names=False,
        check_freq=False,
        check_index_type=False,
        check_column_type=False,
    )


# ---------------------------------------------------------------- files


def with_commas(text, rows, commas=","):
    lines = text.splitlines()
    return "\n".join(
        line + commas if n in rows else line for n, line in enumerate(lines)
    )


EVERY = range(1, 61)


@pytest.mark.parametrize("commas", [",", ",,,", " , "])
@pytest.mark.parametrize("rows", [EVERY, [1], [5], [5, 60], range(61), [0]], ids=str)
def test_surplus_empty_cells_are_dropped(rows, commas, closes, tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(with_commas(closes.to_csv(index_label="Date"), rows, commas))
    assert_prices(read_panel(path), closes)


@pytest.mark.parametrize("rows", [EVERY, [1], [5]], ids=str)
@pytest.mark.parametrize("label", ["Date", False])
def test_surplus_cells_that_are_not_empty_are_refused(rows, label, closes, tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(with_commas(closes.to_csv(index_label=label), rows, ",7,8"))
    with pytest.raises(PanelError, match="must have as many"):
        read_panel(path)


def test_dates_without_a_name_beside_an_empty_column_are_unclear(closes, tmp_path):
    path = tmp_path / "prices.csv"
    lines = closes.to_csv(index_label="Date").splitlines()
    path.write_text("\n".join(["A,B,C", *(line + "," for line in lines[1:])]))
    with pytest.raises(PanelError, match="must have as many names as columns"):
        read_panel(path)
    path.write_text("\n".join(["A,B,C", *lines[1:]]))
    assert_prices(read_panel(path), closes.set_axis(list("ABC"), axis=1))


def test_merged_cells_of_a_terminal(closes, tmp_path):
    rows = [",AAPL US Equity,,MSFT US Equity,", "Dates,PX_LAST,PX_VOLUME,PX_LAST,"]
    rows[1] += "PX_VOLUME"
    for day, row in closes.iterrows():
        rows.append(f"{day:%m/%d/%Y},{row['AAPL']},5,{row['MSFT']},6")
    (tmp_path / "prices.csv").write_text("\n".join(rows))
    panel = read_panel(tmp_path / "prices.csv")
    expected = closes[["AAPL", "MSFT"]].add_suffix(" US Equity")
    assert_prices(panel["Close"], expected)
    assert (panel["Volume"] == [5, 6]).all(axis=None)


def test_long_files_of_vendors(closes, tmp_path):
    path = tmp_path / "prices.txt"
    long = closes.stack().rename("close").rename_axis(["date", "symbol"])
    long = long.reset_index()
    formats = {
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<CLOSE>": (
            "{r.symbol},D,{r.date:%Y%m%d},000000,1,{r.close}"
        ),
        "<TICKER>,<DATE>,<CLOSE>": "{r.symbol},{r.date:%Y%m%d},{r.close}",
        "ticker,caldt,prc": "{r.symbol}  ,{r.date:%Y%m%d},{r.close}",
        "unix,symbol,open,close,Volume USD": ("{r.date:%s},{r.symbol},1,{r.close},5"),
    }
    long["date"] = long["date"].dt.tz_localize("UTC")
    for header, form in formats.items():
        form = form.replace("{r.date:%s}", "{seconds}")
        lines = [
            form.format(r=r, seconds=int(r.date.timestamp())) for r in long.itertuples()
        ]
        path.write_text("\n".join([header, *lines]))
        panel = read_panel(path)
        panel = panel["Close"] if panel.columns.nlevels == 2 else panel
        assert_prices(panel, closes)


# ---------------------------------------------------------------- row numbers, headers


@pytest.mark.parametrize(
    "name",
    ["Unnamed: 0", "index", "level_0", "Unnamed: 0.1", "row_nr", "__index_level_0__"],
)
def test_saved_indexes_are_no_tickers(name, closes):
    numbered = closes.assign(**{name: range(60)})
    assert_prices(read_panel(numbered), closes)
    assert_prices(read_panel(numbered.rename_axis("Date").reset_index()), closes)
    rest = closes.assign(**{name: np.arange(60)[::-1] * 3 + 7})
    for table in (numbered, rest):
        with pytest.raises(PanelError, match="which is a saved index") as error:
            check_panel(table)
        assert f"`X.drop(columns={name!r})`" in str(error.value)
    assert check_panel(closes.assign(**{name: closes["AAPL"]}))[name].notna().all()


@pytest.mark.parametrize("whole", [False, True])
def test_a_row_of_data_is_no_header(whole, closes, tmp_path):
    table = (closes * 100).round().astype(int) if whole else closes
    text = table.to_csv(header=False)
    (tmp_path / "prices.csv").write_text(text)
    message = re.escape("`pd.read_csv(path, header=None, index_col=0)`, then name the")
    frames = [
        pd.read_csv(io.StringIO(text), index_col=0, parse_dates=True),
        pd.read_csv(io.StringIO(text)),
    ]
    for read in (
        lambda: read_panel(tmp_path / "prices.csv"),
        lambda: check_panel(frames[0]),
        lambda: read_panel(frames[1]),
    ):
        with pytest.raises(PanelError, match=message):
            read()
    X = pd.read_csv(io.StringIO(text), header=None, index_col=0)
    X.columns = list(closes)
    assert_prices(read_panel(X), table.astype(float))


def test_turned_tables(closes):
    for turned in (closes.T, closes.set_axis(closes.index.astype(str)).T):
        with pytest.raises(PanelError, match=re.escape("Transpose the table with")):
            read_panel(turned)
        assert_prices(read_panel(turned.T), closes)


# ---------------------------------------------------------------- dates

EPOCH = pd.Timestamp("1970-01-01")
DATES = {
    "figures": lambda days: days.strftime("%Y%m%d").astype(int),
    "decimals": lambda days: days.strftime("%Y%m%d").astype(float),
    "text": lambda days: days.strftime("%Y%m%d"),
    "seconds": lambda days: (days - EPOCH) // pd.Timedelta("1s"),
    "milliseconds": lambda days: (days - EPOCH) // pd.Timedelta("1ms"),
    "microseconds": lambda days: (days - EPOCH) // pd.Timedelta("1us"),
    "nanoseconds": lambda days: (days - EPOCH) // pd.Timedelta("1ns"),
    "spreadsheet": lambda days: (days - pd.Timestamp("1899-12-30")).days,
    "German": lambda days: days.strftime("%d.%m.%Y"),
    "names of months": lambda days: days.strftime("%d-%b-%Y"),
    "objects": lambda days: days.date,
}


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("name", ["date", "Datum", "caldt", "trade_date", "anything"])
@pytest.mark.parametrize("write", DATES.values(), ids=DATES)
def test_dates_of_any_name_newest_first(write, name, place, closes):
    table = closes.reset_index(drop=True)
    table.insert(place, name, write(closes.index))
    table = table.iloc[::-1].reset_index(drop=True)
    panel = read_panel(table)
    assert_prices(panel, closes)
    with pytest.raises(PanelError, match=r"`read_panel\(X"):
        check_panel(table)


def test_numbers_that_are_dates_beside_dates_are_unclear(closes):
    table = closes.assign(caldt=DATES["figures"](closes.index))
    with pytest.raises(PanelError, match="such as 20230102 for 2023-01-02") as error:
        read_panel(table)
    assert "`read_panel(X, date='caldt')`" in str(error.value)
    assert_prices(read_panel(table, date="caldt"), closes)
    assert_prices(read_panel(table.drop(columns="caldt")), closes)


def test_two_columns_of_dates_are_unclear(closes):
    table = closes.reset_index(drop=True)
    table["a"], table["b"] = DATES["text"](closes.index), DATES["figures"](closes.index)
    with pytest.raises(PanelError, match=r"Got 'a', 'b'\. Name the right one with"):
        read_panel(table)


def test_numbers_in_the_index_are_dates(closes):
    for kind in ("figures", "milliseconds", "spreadsheet"):
        table = closes.set_axis(DATES[kind](closes.index))
        assert_prices(read_panel(table.iloc[::-1]), closes)


UNKNOWN_DATES = {
    "days since 1970": lambda d: d.to_numpy().astype("datetime64[D]").astype(int),
    "yymmdd": lambda d: d.strftime("%y%m%d").astype(int),
    "ddmmyyyy": lambda d: d.strftime("%d%m%Y").astype(int),
    "mmddyyyy": lambda d: d.strftime("%m%d%Y").astype(int),
    "day of the year": lambda d: d.strftime("%Y%j").astype(int),
    "Julian": lambda d: d.to_julian_date(),
    "ordinal": lambda d: [day.toordinal() for day in d],
    "years": lambda d: d.year + d.day_of_year / 366,
    "from 1": lambda d: np.arange(1, len(d) + 1),
    "gaps": lambda d: 3 * np.arange(len(d))[::-1],
}


@pytest.mark.parametrize("name", ["X", "...1", "t"])
@pytest.mark.parametrize("write", UNKNOWN_DATES.values(), ids=UNKNOWN_DATES)
def test_what_counts_rows_or_days_is_no_ticker(write, name, closes):
    table = closes.iloc[::-1].reset_index(drop=True)
    table.insert(0, name, np.asarray(write(closes.index[::-1]), dtype=float))
    for read in (read_panel, check_panel):
        with pytest.raises(PanelError, match=f"{name!r}, such as .* count rows or da"):
            read(table)
    # As the message says.
    table[name] = closes.index[::-1].strftime("%Y-%m-%d")
    assert read_panel(table, date=name).equals(closes)
    assert check_panel(closes.assign(X=np.arange(len(closes)) % 7 + 5.0)) is not None


@pytest.mark.parametrize("rate", [1e-5, 4e-5, 2e-4])
def test_an_index_of_cash_is_a_ticker(closes, rate):
    table = closes.assign(CASH=2000 * (1 + rate) ** np.arange(len(closes)))
    assert check_panel(table) is table


def test_hours_in_figures(closes):
    table = closes.reset_index(drop=True)
    table.insert(0, "t", closes.index.strftime("%Y%m%d16").astype(int))
    expected = closes.index + pd.Timedelta("16h")
    assert list(read_panel(table).index) == list(expected)


@pytest.mark.parametrize("ticker", ["symbol", "ticker", "Stock"])
def test_a_long_table_is_to_be_read(closes, ticker):
    long = closes.rename_axis("date").reset_index()
    long = long.melt("date", var_name=ticker, value_name="close")
    for use in (check_panel, forward_returns):
        with pytest.raises(PanelError, match=f"Got the tickers in {ticker!r}, as in a"):
            use(long)
        with pytest.raises(PanelError, match=r"Read it with `read_panel\(X\)`"):
            use(long.set_index("date"))
    assert_prices(read_panel(long), closes[sorted(closes)])


def test_a_series_of_dates_and_tickers_is_spread_over_columns(closes):
    series = closes.stack()
    for use in (check_panel, read_panel):
        with pytest.raises(PanelError, match=r"`\.unstack\(\)`"):
            use(series)
        with pytest.raises(PanelError, match=r'`\.to_frame\("TICKER"\)`'):
            use(closes["AAPL"])
    assert_prices(check_panel(series.unstack()), closes)


def test_a_table_without_names_of_columns(closes):
    file = io.StringIO(closes.to_csv(header=False))
    table = pd.read_csv(file, header=None)
    with pytest.raises(PanelError, match="Got the numbers of columns, and the date"):
        read_panel(table)
    table.columns = ["Date", *closes]
    assert read_panel(table).equals(closes)


def test_prices_are_no_dates():
    rng = np.random.default_rng(0)
    index = pd.bdate_range("2024-01-01", periods=40)
    steps = rng.integers(-400, 410, (40, 4)).cumsum(axis=0)
    start = np.array([45_000, 38_000, 640_000, 20_240_102])
    prices = pd.DataFrame(start + steps, index, ["BTC", "NKY", "BRK-A", "X"])
    assert check_panel(prices.astype(float)).shape == (40, 4)


@pytest.mark.parametrize("names", [["year"], ["year", "month"], ["Year", "Quarter"]])
def test_parts_of_dates_are_no_tickers(names, closes):
    parts = {name: getattr(closes.index, name.lower()) for name in names}
    with pytest.raises(PanelError, match=f"Got parts of dates in {names[0]!r}"):
        check_panel(closes.assign(**parts))


def test_long_tables_need_dates(closes):
    long = closes.stack().rename("close").rename_axis(["bar", "symbol"])
    long = long.reset_index()
    long["bar"] = long["bar"].dt.strftime("week %W day %j of %Y")
    with pytest.raises(PanelError, match=r"A long table must hold dates\. Got the col"):
        read_panel(long)


# ---------------------------------------------------------------- days


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_a_day_with_two_rows(zone, closes):
    quote = closes.iloc[[-1]] * 1.5
    quote["MSFT"] = np.nan
    quote.index += pd.Timedelta("16:00:02")
    table = pd.concat([closes, quote]).tz_localize(zone)
    for read in (read_panel, check_panel):
        with pytest.raises(
            PanelError, match=r"Got two rows of the same day, 2023-03-24"
        ):
            read(table)
    merged = check_panel(table.groupby(table.index.normalize()).last())
    expected = closes.copy()
    expected.iloc[-1] = [
        quote["AAPL"].item(),
        quote["BRK.B"].item(),
        *closes.iloc[-1:, 2],
    ]
    assert_prices(merged.tz_localize(None), expected)


def test_several_rows_a_day_are_hours():
    hours = pd.bdate_range("2024-01-02", periods=20).repeat(3)
    hours += pd.to_timedelta(np.tile([10, 12, 14], 20), unit="h")
    table = pd.DataFrame({"A": np.arange(1.0, 61.0), "B": 2.0}, index=hours)
    assert check_panel(table) is table
    assert check_panel(table.tz_localize("Europe/Berlin")).shape == (60, 2)


def test_time_stamps_that_differ_among_tickers(closes):
    coins = closes[["MSFT"]].set_axis(closes.index + pd.Timedelta("5h"))
    parts = [part.tz_localize("UTC") for part in (closes[["AAPL"]], coins)]
    with pytest.raises(PanelError, match="Time stamps of all tickers must agree"):
        check_panel(pd.concat(parts, axis=1, sort=True))
    for table in parts:
        table.index = table.index.tz_localize(None).normalize()
    assert_prices(check_panel(pd.concat(parts, axis=1)), closes[["AAPL", "MSFT"]])


# ---------------------------------------------------------------- returns


@pytest.mark.parametrize("fields", [False, True])
@pytest.mark.parametrize("scale", [0.003, 0.015, 0.05])
def test_returns_and_price_relatives_are_no_prices(scale, fields):
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2020-01-01", periods=300)
    returns = pd.DataFrame(rng.normal(0, scale, (300, 4)), days, list("ABCD"))

    def tabled(table):
        return pd.concat({"Close": table}, axis=1) if fields else table

    for table, message in {
        "returns": (returns, "as in a table of returns"),
        "log": (np.log1p(returns), "as in a table of returns"),
        "per cent": (100 * returns, "as in a table of returns"),
        "relatives": (1 + returns, r"as in a table of price relatives \(1 \+ return\)"),
    }.values():
        for read in (check_panel, read_panel):
            with pytest.raises(PanelError, match=message):
                read(tabled(table))
    for prices in ((1 + returns).cumprod(), 1.1 * (1 + returns / 10).cumprod()):
        assert check_panel(tabled(prices)).shape == (300, 4)


def test_price_relatives_in_per_cent_are_no_prices():
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2020-01-01", periods=300)
    returns = pd.DataFrame(rng.normal(0, 0.015, (300, 4)), days, list("ABCD"))
    relatives = 100 * (1 + returns)
    with pytest.raises(PanelError, match=r"\(100 \+ return\).*`\(X / 100\)\.cumprod"):
        check_panel(relatives)
    check_panel((relatives / 100).cumprod())
    check_panel(100 * (relatives / 100).cumprod())


def test_one_ticker_of_returns_does_not_harm_the_others(closes):
    rng = np.random.default_rng(0)
    table = closes.assign(R=rng.normal(size=60), N=-1.0)
    with pytest.warns(match="other value"):
        assert list(check_panel(table)) == list(table)


# ---------------------------------------------------------------- other libraries


@pytest.fixture(params=["wide", "lazy", "text", "figures", "long", "arrow", "zone"])
def foreign(request, closes):
    polars = pytest.importorskip("polars")
    arrow = pytest.importorskip("pyarrow")
    table = closes.rename_axis("Date").reset_index()
    if request.param == "arrow":
        return arrow.Table.from_pandas(table)
    if request.param == "text":
        table["Date"] = table["Date"].astype(str)
    if request.param == "figures":
        table["Date"] = DATES["figures"](closes.index)
    if request.param == "long":
        table = table.melt("Date", var_name="symbol", value_name="close")
    if request.param == "zone":
        table["Date"] = table["Date"].dt.tz_localize("America/New_York")
    table = polars.from_pandas(table)
    return table.lazy() if request.param == "lazy" else table


def test_tables_of_other_libraries_are_panels(foreign, closes):
    panel = check_panel(foreign)
    assert_prices(panel.tz_localize(None), closes)
    assert_prices(read_panel(foreign).tz_localize(None), closes)
    assert_prices(adopt_table(foreign).tz_localize(None), closes)
    expected = forward_returns(closes, 5)
    assert_prices(forward_returns(foreign, 5).tz_localize(None), expected)


def test_what_has_columns_and_is_no_table_is_refused():
    class Table:
        columns = ("A",)

    with pytest.raises(PanelError, match="must be a table of pandas or polars"):
        check_panel(Table())


def test_pyarrow_is_named_where_polars_needs_it():
    class Table:
        def to_pandas(self):
            raise ImportError("pyarrow is required")

    with pytest.raises(ImportError, match=r"skbatch\[parquet\]"):
        check_panel(Table())


@pytest.mark.parametrize(
    "names",
    [
        {"AAPL": " AAPL", "MSFT": "MSFT  "},
        {"AAPL": "\ufeffAAPL", "MSFT": "\u200bMSFT\xa0"},
    ],
)
def test_padded_tickers(names, closes):
    assert_prices(read_panel(closes.rename(columns=names)), closes)
    long = closes.melt(ignore_index=False, var_name="ticker", value_name="close")
    long["ticker"] = long["ticker"].str.ljust(8)
    assert_prices(read_panel(long.rename_axis("date").reset_index()), closes)
