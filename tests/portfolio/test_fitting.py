from skbatch.portfolio._fitting import describe_service


def test_who_has_no_forecast_and_who_that_of_another_model():
    assert describe_service({}, [], 4, "which are NaN", "provenance") == ""
    text = describe_service({"A": "ended"}, ["B", "C"], 4, "which are NaN", "it")
    assert text == (
        "1 of 4 tickers has no forecast, which are NaN: A (ended). 2 of 4 tickers are "
        "not served by the primary model: B, C. See it for all reasons."
    )
    text = describe_service({"A": "ended", "B": "late"}, ["C"], 3, "left out", "it")
    assert text == (
        "2 of 3 tickers have no forecast, left out: A (ended), B (late). 1 of 3 "
        "tickers is not served by the primary model: C. See it for all reasons."
    )
