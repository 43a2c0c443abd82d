from skbatch.portfolio._told import count, of_tickers, tell_service


def test_one_is_singular():
    assert [count(n) for n in (0, 1, 2)] == ["0 tickers", "1 ticker", "2 tickers"]
    assert of_tickers(1, 1) == "1 of 1 ticker has"
    assert of_tickers(1, 4, "are") == "1 of 4 tickers is"
    assert of_tickers(2, 4) == "2 of 4 tickers have"


def test_who_has_no_forecast_and_who_that_of_another_model():
    assert tell_service({}, [], 4, "which are NaN", "provenance") == ""
    told = tell_service({"A": "ended"}, ["B", "C"], 4, "which are NaN", "provenance_")
    assert told == (
        "1 of 4 tickers has no forecast, which are NaN: A (ended). 2 of 4 tickers are "
        "not served by the first choice: B, C. See provenance_ for all reasons."
    )
