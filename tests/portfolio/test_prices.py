import numpy as np
import pandas as pd
import pytest

from skbatch import robust_forecast_returns
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError
from skbatch.portfolio._prices import read_prices


@pytest.fixture
def prices():
    return make_panel(60, 3, random_state=0).set_axis(["A", "B", "C"], axis=1)


def test_tables_of_single_tickers_are_joined_on_all_dates(prices, tmp_path):
    path = tmp_path / "c.csv"
    prices[["C"]].rename(columns={"C": "Close"}).to_csv(path)
    tables = {
        "A": prices["A"].iloc[5:],
        "B": prices[["B"]].iloc[:50],
        "C": path,
    }
    panel, aliases = read_prices(None, tables)
    expected = prices.copy()
    expected.iloc[:5, 0] = np.nan
    expected.iloc[50:, 1] = np.nan
    pd.testing.assert_frame_equal(
        panel, expected, check_names=False, check_freq=False, check_index_type=False
    )
    assert aliases == {}


@pytest.mark.parametrize("suffix", [".csv", ".TSV", ".parquet", ".xlsx"])
def test_each_ticker_may_have_a_file_of_any_kind(prices, tmp_path, suffix):
    path, table = tmp_path / f"a{suffix}", prices[["A"]].set_axis(["Close"], axis=1)
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        table.rename_axis("Date").to_excel(path)
    elif suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    else:
        table.rename_axis("Date").to_csv(path, sep="\t" if suffix == ".TSV" else ",")
    panel, _ = read_prices(None, {"A": str(path)})
    assert list(panel) == ["A"]
    np.testing.assert_allclose(panel["A"], prices["A"])


def test_fields_beside_closes(prices):
    ohlcv = pd.DataFrame({"Open": prices["A"] - 1, "Close": prices["A"], "Volume": 9})
    downloaded = pd.concat({"B": ohlcv[["Close", "Volume"]]}, axis=1).swaplevel(axis=1)
    panel, _ = read_prices(None, {"A": ohlcv, "X": downloaded, "C": prices["C"]})
    assert panel.columns.to_list() == [
        ("Open", "A"),
        ("Close", "A"),
        ("Close", "X"),
        ("Close", "C"),
        ("Volume", "A"),
        ("Volume", "X"),
    ]
    assert panel["Close"]["X"].tolist() == prices["A"].tolist()


def test_old_scripts_hand_over_a_dict_of_tables(prices):
    tables = {ticker: prices[ticker] for ticker in prices}
    expected = robust_forecast_returns(["A", "C"], method="mean", ticker_to_data=tables)
    assert expected == robust_forecast_returns(["A", "C"], prices, "mean")
    assert list(
        robust_forecast_returns(None, method="mean", ticker_to_data=tables)
    ) == ["A", "B", "C"]


def test_names_of_columns(prices):
    names = {"Apple": "A", "Cisco": "C"}
    expected = robust_forecast_returns(None, prices, "mean", ticker_to_data=names)
    assert list(expected) == ["Apple", "Cisco"]
    plain = robust_forecast_returns(["A", "B", "C"], prices, "mean")
    assert list(expected.values()) == [plain["A"], plain["C"]]
    with pytest.raises(
        ValueError, match=r"Got D, which it lacks. The columns are A, B"
    ):
        read_prices(prices, {"Apple": "D"})
    with pytest.raises(ValueError, match=r"map tickers to columns.*for Apple\."):
        read_prices(prices, {"Apple": prices["A"]})
    with pytest.raises(ValueError, match="Got 'A' for Apple"):
        read_prices(None, {"Apple": "A"})


def test_dates_must_fit_together(prices):
    late = prices["B"].set_axis(prices.index + pd.Timedelta(hours=16))
    with pytest.raises(PanelError, match=r"same time of day. Got 00:00:00, 16:00:00"):
        read_prices(None, {"A": prices["A"], "B": late})
    zone = prices["B"].tz_localize("Europe/Berlin")
    with pytest.raises(PanelError, match="no time zone for A, dates in Europe/Berlin"):
        read_prices(None, {"A": prices["A"], "B": zone})
    numbers = prices["B"].reset_index(drop=True)
    with pytest.raises(PanelError, match="no time zone for A, numbers for B"):
        read_prices(None, {"A": prices["A"], "B": numbers})
    panel, _ = read_prices(None, {"A": numbers, "B": numbers.iloc[3:]})
    assert panel.shape == (60, 2)


def test_wrong_tables_are_named(prices):
    fields = pd.concat({"Close": prices}, axis=1)
    with pytest.raises(PanelError, match=r"B must belong to one ticker\. Got 3"):
        read_prices(None, {"A": prices["A"], "B": fields})
    with pytest.raises(PanelError, match=r"Prices of B: .*every date once"):
        read_prices(None, {"B": pd.concat([prices["B"], prices["B"]])})
