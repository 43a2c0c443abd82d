import re

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel, read_panel

FIELDS = ["Open", "High", "Low", "Close", "Volume"]
# Text that readers of CSV files like to take for something else.
TICKERS = ["AAPL", "BRK.B", "NA", "TRUE"]


def make_closes(tickers=TICKERS, n_dates=6):
    dates = pd.bdate_range("2024-02-27", periods=n_dates, name="Date")
    values = np.random.default_rng(0).uniform(1, 2, size=(n_dates, len(tickers)))
    closes = pd.DataFrame(values, index=dates, columns=tickers)
    closes.iloc[0, 0] = closes.iloc[3, -1] = np.nan
    return closes


def make_ohlcv(tickers=TICKERS):
    parts = {field: make_closes(tickers) + i for i, field in enumerate(FIELDS)}
    return check_panel(pd.concat(parts, axis=1))


def make_long(panel, date="date", ticker="ticker"):
    """Stack a panel, row by row, in disorder."""
    records = []
    for moment, row in panel.iterrows():
        for name in row.index.unique(-1):
            fields = row.xs(name, level=-1) if row.index.nlevels > 1 else {}
            value = {"close": row[name]} if row.index.nlevels == 1 else dict(fields)
            records.append({date: moment, ticker: name, **value})
    return pd.DataFrame(records).sample(frac=1, random_state=0).reset_index(drop=True)


def assert_same(read, expected):
    assert_frame_equal(
        read,
        expected,
        check_names=False,
        check_freq=False,
        check_index_type=False,
        check_column_type=False,
        rtol=1e-14,
    )


@pytest.fixture(params=["frame", "csv", "parquet"])
def through(request, tmp_path):
    """Hand over a table as it is, or by way of a file."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")

    def pass_through(table, **kwargs):
        if request.param == "frame":
            return read_panel(table, **kwargs)
        path = tmp_path / f"prices.{request.param}"
        keep = not isinstance(table.index, pd.RangeIndex)
        getattr(table, f"to_{request.param}")(path, index=keep)
        return read_panel(path, **kwargs)

    return pass_through


# ---------------------------------------------------------------- wide tables


def test_wide(through):
    assert_same(through(make_closes()), make_closes())


@pytest.mark.parametrize("name", ["Date", "date", "TIMESTAMP", "datetime", "Unknown"])
def test_wide_with_a_column_of_dates(through, name):
    table = make_closes().rename_axis(name).reset_index()
    panel = through(table)
    assert_same(panel, make_closes())
    assert panel.index.name == name


def test_wide_without_a_name_for_the_dates(through):
    assert_same(through(make_closes().rename_axis(None)), make_closes())


def test_wide_with_dates_as_text_newest_first(through):
    table = make_closes().iloc[::-1].reset_index()
    table["Date"] = table["Date"].astype(str)
    assert_same(through(table), make_closes())


def test_wide_with_the_dates_elsewhere(through):
    table = (
        make_closes().assign(day_of_trade=make_closes().index).reset_index(drop=True)
    )
    assert_same(through(table, date="day_of_trade"), make_closes())


def test_wide_with_tickers_that_look_like_columns_of_other_tables(through):
    closes = make_closes(["TIME", "CODE", "NAME", "PRICE", "OPEN", "LOW"])
    assert_same(through(closes.bfill()), closes.bfill())


def test_a_wide_frame_may_have_row_numbers():
    closes = make_closes().reset_index(drop=True)
    assert_same(read_panel(closes), closes)
    assert_same(read_panel(closes.to_numpy()), check_panel(closes.to_numpy()))


def test_only_row_numbers_are_dropped():
    closes = pd.DataFrame({"index": [0, 1, 2], "A": [5, 6, 7]}, index=[3, 4, 5])
    assert list(read_panel(closes)) == ["A"]
    assert list(read_panel(closes + 1)) == ["A"]
    with pytest.raises(PanelError, match=r"which is a saved index\. Drop it with"):
        read_panel(closes.assign(index=[7, 3, 5]))
    market = closes.assign(index=[4700.5, 4712.0, 4698.25])
    assert list(read_panel(market)) == ["index", "A"]


# ---------------------------------------------------------------- tables of fields


@pytest.mark.parametrize("names", [("Price", "Ticker"), (None, None)])
@pytest.mark.parametrize("index_name", ["Date", None])
@pytest.mark.parametrize("ticker_first", [False, True])
def test_yfinance_tables(through, names, index_name, ticker_first):
    table = make_ohlcv().rename_axis(index=index_name, columns=names)
    if ticker_first:
        table = table.swaplevel(axis=1)
    assert_same(through(table), make_ohlcv())


def test_a_yfinance_table_of_one_ticker(through):
    table = make_ohlcv(["A"]).rename_axis(columns=["Price", "Ticker"])
    assert_same(through(table), make_ohlcv(["A"]))


def test_a_yfinance_file_that_begins_with_missing_prices(tmp_path):
    table = make_ohlcv(["700", "5"])
    table.iloc[0] = np.nan
    for index_name in ("Date", None):
        table.rename_axis(index=index_name).to_csv(tmp_path / "prices.csv")
        assert_same(read_panel(tmp_path / "prices.csv"), table)


def test_a_yfinance_frame_with_the_dates_in_a_column():
    table = make_ohlcv().reset_index()
    assert_same(read_panel(table), make_ohlcv())


def test_only_closes_make_a_wide_panel(through):
    table = make_ohlcv()[["Close"]]
    assert_same(through(table), table["Close"])


@pytest.mark.parametrize("field", ["Close", "volume", "OPEN"])
def test_one_field(through, field):
    assert_same(through(make_ohlcv(), field=field), make_ohlcv()[field.title()])


def test_the_close_of_a_wide_table():
    assert_same(read_panel(make_closes(), field="Close"), make_closes())


def test_the_adjusted_close():
    table = make_ohlcv().rename(columns={"Open": "Adj Close"}, level=0)
    expected = make_ohlcv()["Open"]
    assert_same(read_panel(table, field="Adj Close"), expected)
    assert_same(read_panel(table, field="Close"), expected)
    for without in (make_ohlcv(), make_closes()):
        with pytest.raises(PanelError, match="Got 'Adj Close'"):
            read_panel(without, field="Adj Close")


# ---------------------------------------------------------------- long tables


@pytest.mark.parametrize("ticker", ["ticker", "Symbol", "Name", "asset"])
def test_long(through, ticker):
    table = make_long(make_closes(), ticker=ticker)
    assert_same(through(table), make_closes())


def test_long_with_fields_and_more(through):
    table = make_long(make_ohlcv()).assign(sector="x", weight=1.0)
    panel = through(table)
    prices = make_ohlcv()
    assert_same(panel[list(prices.columns.unique("field"))], prices)
    assert list(panel.columns.unique("field"))[5:] == ["sector", "weight"]


def test_long_with_adjusted_closes(through):
    table = make_long(make_closes())
    table["adj close"] = table["close"] / 2
    assert_same(through(table), make_closes() / 2)


@pytest.mark.parametrize("value", ["price", "Value", "Adj_Close"])
def test_long_with_prices_of_another_name(through, value):
    table = make_long(make_closes()).rename(columns={"close": value})
    assert_same(through(table), make_closes())


def test_long_with_named_columns(through):
    table = make_long(make_ohlcv(), "when", "who").assign(date="?", close=0, ticker="?")
    panel = through(table, date="when", ticker="who", value="Low")
    assert_same(panel, make_ohlcv()["Low"])


def test_long_with_row_numbers(tmp_path):
    make_long(make_closes()).to_csv(tmp_path / "prices.csv")
    assert_same(read_panel(tmp_path / "prices.csv"), make_closes())


def test_long_with_numbers_as_tickers(tmp_path):
    closes = make_closes(["0005", "0700"])
    make_long(closes).to_csv(tmp_path / "prices.csv", index=False)
    assert_same(read_panel(tmp_path / "prices.csv"), closes)
    numbers = make_long(closes).astype({"ticker": int})
    assert list(read_panel(numbers)) == ["5", "700"]


@pytest.mark.parametrize("keys", [["date"], ["ticker"], ["date", "ticker"]])
def test_long_frames_with_an_index(keys):
    table = make_long(make_ohlcv())
    assert_same(read_panel(table.set_index(keys)), make_ohlcv())


def test_long_frames_with_an_unnamed_index():
    table = make_long(make_ohlcv()).set_index(["date", "ticker"])
    table.index.names = [None, None]
    assert_same(read_panel(table), make_ohlcv())


def test_long_frames_with_categories():
    table = make_long(make_closes()).astype({"ticker": "category"})
    assert_same(read_panel(table), make_closes())


def test_long_table_of_several_days_keeps_a_ticker_that_was_listed_late():
    table = make_long(make_closes()).dropna()
    assert_same(read_panel(table), make_closes())


# ---------------------------------------------------------------- one ticker


def test_one_ticker_is_named(through):
    table = make_ohlcv(["AAPL"]).droplevel(1, axis=1)
    assert_same(through(table, ticker="AAPL"), make_ohlcv(["AAPL"]))
    with pytest.raises(PanelError, match='such as `ticker="AAPL"`'):
        through(table)


def test_one_ticker_with_one_price(through):
    closes = make_closes(["AAPL"])
    table = closes.rename(columns={"AAPL": "px"})
    assert_same(through(table, ticker="AAPL"), closes)
    table = table.assign(other=1.0)
    assert_same(through(table, ticker="AAPL", value="px"), closes)


# ---------------------------------------------------------------- other containers


def test_tables_of_other_libraries():
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    table = make_closes().reset_index()
    assert_same(read_panel(polars.from_pandas(table)), make_closes())


@pytest.mark.parametrize(
    ("separator", "decimal", "suffix"),
    [(";", ",", "csv"), (";", ".", "csv"), ("\t", ".", "tsv"), (",", ".", "txt")],
)
def test_files_of_spreadsheet_programs(tmp_path, separator, decimal, suffix):
    path = tmp_path / f"prices.{suffix}"
    closes = make_closes(["A", "B"])
    closes.to_csv(path, sep=separator, decimal=decimal, encoding="utf-8-sig")
    assert_same(read_panel(str(path)), closes)


def test_float32_files(tmp_path):
    pytest.importorskip("pyarrow")
    closes = make_closes().astype(np.float32)
    closes.to_parquet(tmp_path / "prices.parquet")
    panel = read_panel(tmp_path / "prices.parquet")
    assert (panel.dtypes == np.float64).all()
    assert_same(panel, closes.astype(np.float64))


def test_the_frame_is_not_changed():
    table = make_long(make_ohlcv())
    before = table.copy()
    read_panel(table)
    assert_frame_equal(table, before)


# ---------------------------------------------------------------- what is refused

LONG = make_long(make_closes())
BAD_TABLES = {
    "two columns of dates": (
        LONG.assign(timestamp=LONG["date"]),
        {},
        "Got 'date', 'timestamp'. Name the right one with `date=...`.",
    ),
    "two columns of tickers": (
        LONG.assign(name="x"),
        {},
        "Got 'ticker', 'name'. Name the right one with `ticker=...`.",
    ),
    "two columns of prices": (
        LONG.assign(price=1.0),
        {},
        "Got 'close', 'price'. Name the right one with `value=...`.",
    ),
    "no column of prices": (
        LONG.rename(columns={"close": "px"}),
        {},
        "Got px. Name the column with `value=...`.",
    ),
    "unknown date": (LONG, {"date": "when"}, "Got 'when'. Choose from date, tick"),
    "unknown ticker": (LONG, {"ticker": "who"}, "Got 'who'. The columns are "),
    "unknown ticker of a wide table": (make_closes(), {"ticker": "who"}, "Got 'who'."),
    "unknown value": (LONG, {"value": "px"}, "Got 'px'. Choose from "),
    "unknown field": (make_ohlcv(), {"field": "VWAP"}, "Got 'VWAP'. Choose from Op"),
    "field of a wide table": (
        make_closes(),
        {"field": "Open"},
        "Choose from Close.",
    ),
    "value of a wide table": (
        make_closes(),
        {"value": "AAPL"},
        "Got no column of tickers. Name it",
    ),
    "a row twice": (
        pd.concat([LONG, LONG.loc[LONG["ticker"] == "NA"].iloc[:1]]),
        {},
        "Got duplicates of NA on 2024-",
    ),
    "a row without ticker": (
        LONG.assign(ticker=LONG["ticker"].where(LONG["ticker"] != "NA")),
        {},
        "Got 6 rows without one of them.",
    ),
    "a row without date": (
        LONG.assign(date=LONG["date"].where(LONG.index > 1)),
        {},
        "Got 2 rows without one of them.",
    ),
    "no dates": (make_closes().set_axis(list("abcdef")), {}, "Got values such as 'a'."),
    "a date twice": (make_closes().iloc[[0, 1, 1]], {}, "Got duplicates of 2024-02-28"),
    "text": (
        make_closes().map(lambda price: "n/k" if price != price else price),
        {},
        "Got 'n/k' in AAPL at 2024-02-27. Correct it, or if it means that",
    ),
    "a column twice": (
        make_closes(["A", "B", "A"]),
        {},
        "Got duplicates of A. Keep one column of each.",
    ),
    "series": (make_closes()["NA"], {}, '.to_frame("TICKER")'),
}


@pytest.mark.parametrize(
    ("table", "options", "advice"), BAD_TABLES.values(), ids=BAD_TABLES
)
def test_unclear_tables_are_refused_with_advice(table, options, advice):
    with pytest.raises(PanelError, match=re.escape(advice)):
        read_panel(table, **options)


BAD_FILES = {
    "duplicated ticker": ("Date,A,A\n2024-01-02,1,2\n", "duplicates of A"),
    "no dates": ("A,B\n1,2\n", "The index must hold dates. Got values such as 0."),
    "short first row": ("Date,A\n2024-01-02,1,2,3\n", "Got 2 names and 4 columns"),
    "names only": ("Date,A\n", "Got 'prices.csv', which has no rows below its header"),
    "nothing": ("", "Got 'prices.csv', which is empty"),
    "ragged": ("Date,A\n2024-01-02,1\n2024-01-03,1,2,3\n", "row 3, with '3' as"),
    "text": ("Date,A\n2024-01-02,n/k\n", "Got 'n/k' in A at 2024-01-02. Correct"),
    "unnamed ticker": ("Date,A,\n2024-01-02,1,2\n", "Got ''. Rename or drop"),
}


@pytest.mark.parametrize(("text", "advice"), BAD_FILES.values(), ids=BAD_FILES)
def test_malformed_files_are_refused_with_advice(tmp_path, text, advice):
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(PanelError, match=re.escape(advice)):
        read_panel(path)


def test_a_file_may_leave_out_the_name_of_the_dates(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("A,B\n2024-01-02,1,2\n2024-01-03,3,\n")
    panel = read_panel(path)
    assert panel["A"].tolist() == [1.0, 3.0]
    assert np.isnan(panel.loc["2024-01-03", "B"])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be an existing file"):
        read_panel(tmp_path / "prices.csv")


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "prices.ods"
    path.write_text("x")
    with pytest.raises(PanelError, match=r"Got 'prices.ods'. Convert the file"):
        read_panel(path)


def test_missing_pyarrow_is_named(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", refuse)
    (tmp_path / "prices.parquet").write_text("x")
    with pytest.raises(ImportError, match=r"skbatch\[parquet\]"):
        read_panel(tmp_path / "prices.parquet")


def test_impossible_prices_in_a_file_are_told(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("Date,A,B\n2024-01-02,0,2\n2024-01-03,1,2\n")
    with pytest.warns(PanelWarning, match=r"1 other value in A"):
        assert np.isnan(read_panel(path)["A"].iloc[0])


def test_a_table_of_returns_is_refused():
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2024-01-01", periods=50)
    returns = pd.DataFrame(rng.normal(0, 0.01, (50, 3)), dates, list("ABC"))
    for read in (read_panel, check_panel):
        with pytest.raises(PanelError, match=r"returns\. Pass the prices themselves"):
            read(returns)
    prices = (1 + returns).cumprod()
    prices.iloc[::10, 0] = 0.0
    with pytest.warns(PanelWarning):
        assert read_panel(prices)["A"].isna().sum() == 5


def test_other_columns_of_long_tables_are_signals(tmp_path):
    table = pd.DataFrame(
        {
            "date": ["2024-01-02", "2024-01-02", "2024-01-02", "2024-01-03"],
            "symbol": ["A", "B", "C", "A"],
            "close": [1.0, 2.0, 3.0, 4.0],
            "dividends": 0.5,  # what vendors add is none
            "earnings_yield": [0.1, -0.2, 0.0, np.nan],
            "sector": ["oil", "tech", "oil", "oil"],
            "member": [True, False, True, True],
            "year": 2024,
            "firm": ["Aa", "Bb", "Cc", "Aa"],  # names the ticker
        }
    )
    table.to_csv(tmp_path / "long.csv", index=False)
    for source in (table, tmp_path / "long.csv"):
        panel = read_panel(source)
        fields = ["Close", "earnings_yield", "sector", "member"]
        assert list(panel.columns.unique(0)) == fields
        yields = [[0.1, -0.2, 0.0], [np.nan] * 3]
        np.testing.assert_array_equal(panel["earnings_yield"], yields)
        assert list(panel["sector"]["A"].cat.categories) == ["oil", "tech"]
        members = [[1, 0, 1], [1, np.nan, np.nan]]
        np.testing.assert_array_equal(panel["member"].astype(float), members)
        assert list(read_panel(source, value="close")) == ["A", "B", "C"]
        assert list(read_panel(source, field="Close")) == ["A", "B", "C"]


def test_two_level_files_keep_signals(tmp_path):
    index = pd.bdate_range("2024-01-01", periods=3, name="Date")
    closes = pd.DataFrame({"A": [1.0, 2.0, 3.0], "B": 4.0}, index)
    panel = pd.concat({"Close": closes, "zeta": -closes, "in": closes > 2}, axis=1)
    panel.to_csv(tmp_path / "panel.csv")
    panel.to_parquet(tmp_path / "panel.parquet")
    for name in ("panel.csv", "panel.parquet"):
        found = read_panel(tmp_path / name)
        pd.testing.assert_frame_equal(
            found, check_panel(panel), check_names=False, check_freq=False
        )


@pytest.mark.parametrize("shape", ["wide", "long", "fields"])
def test_excel_files_are_read_as_the_same_csv_is(shape, tmp_path):
    prices = make_closes()
    table = prices
    if shape == "long":
        table = prices.melt(var_name="ticker", value_name="close", ignore_index=False)
    elif shape == "fields":
        table = pd.concat({"Close": prices, "Volume": prices * 100}, axis=1)
        table = table.rename_axis(columns=["Price", "Ticker"])
    table.to_csv(tmp_path / "prices.csv")
    cells = pd.read_csv(
        tmp_path / "prices.csv", header=None, dtype=str, keep_default_na=False
    )
    cells = cells.map(_as_cell)
    cells.to_excel(tmp_path / "prices.xlsx", index=False, header=False)
    expected = read_panel(tmp_path / "prices.csv")
    pd.testing.assert_frame_equal(read_panel(tmp_path / "prices.xlsx"), expected)


def _as_cell(text):
    """Make a number or a date of a text, as a spreadsheet has it."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return pd.Timestamp(text)
    return float(text) if re.fullmatch(r"[\d.]+", text) else text


def test_excel_files_must_have_one_sheet(tmp_path):
    prices = make_closes()
    with pd.ExcelWriter(tmp_path / "two.xlsx") as writer:
        prices.to_excel(writer, sheet_name="prices")
        prices.to_excel(writer, sheet_name="returns")
    with pytest.raises(PanelError, match=r"must have one sheet.*Got 2: prices, ret"):
        read_panel(tmp_path / "two.xlsx")


def test_other_content_is_no_excel_file(tmp_path):
    (tmp_path / "prices.xlsx").write_text("date,A\n2020-01-01,1\n")
    with pytest.raises(PanelError, match="must be an Excel file"):
        read_panel(tmp_path / "prices.xlsx")


@pytest.mark.parametrize("pattern", ["{0}_{1}", "{1} {0}", "{0}.{1}", "{1}_{0}"])
def test_flat_columns_may_be_signals(pattern):
    dates = pd.bdate_range("2024-01-01", periods=6)
    fields = {"Close": 10.0, "earnings_yield": 0.5, "size": 3.0, "volume": 7.0}
    parts = {(f, t): v for f, v in fields.items() for t in ("AAPL", "BRK.B")}
    table = pd.DataFrame(list(parts.values()) * np.ones((6, 1)), dates)
    table += np.arange(6)[:, None]
    flat = table.set_axis([pattern.format(*pair) for pair in parts], axis=1)
    two = table.set_axis(pd.MultiIndex.from_tuples(parts), axis=1)
    pd.testing.assert_frame_equal(read_panel(flat), read_panel(two))


def test_columns_without_a_close_of_their_ticker_are_no_signals():
    dates = pd.bdate_range("2024-01-01", periods=6)
    values = np.arange(18.0).reshape(6, 3) + 1
    for names in (["CLOSE.L", "VOD.L", "BP.L"], ["Close_A", "Close_B", "eps_C"]):
        panel = read_panel(pd.DataFrame(values, dates, names))
        assert sorted(panel) == sorted(names)
