from skbatch.portfolio._fitting import describe_service


def test_who_has_no_forecast_and_who_that_of_another_model():
    assert describe_service({}, [], 4, "NaN", "provenance") == ""
    text = describe_service({"A": "ended"}, ["B", "C"], 4, "NaN", "it")
    assert text == (
        "No forecast for 1 of 4 tickers (NaN): A (ended). The primary model cannot "
        "forecast 2 of 4 tickers: B, C. See it for all reasons."
    )
    text = describe_service({"A": "ended", "B": "late"}, ["C"], 3, "left out", "it")
    assert text == (
        "No forecast for 2 of 3 tickers (left out): A (ended), B (late). The primary "
        "model cannot forecast 1 of 3 tickers: C. See it for all reasons."
    )
