import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score

from skbatch import BatchLinearForecaster, ConformalForecaster, FallbackForecaster
from skbatch.exceptions import PanelError
from skbatch.forecasting import HistoricalMeanForecaster, ReturnTarget

NAN = np.nan


# Containers ---------------------------------------------------------------------------


def test_frames_come_back_with_their_labels(make_frames, forecaster):
    X, y = make_frames()
    y = y[["T2", "T0", "T3"]].rename_axis(columns="asset")
    forecasts = forecaster.fit(X, y).predict(X.iloc[-5:])
    assert isinstance(forecasts, pd.DataFrame)
    pd.testing.assert_index_equal(forecasts.index, X.index[-5:])
    pd.testing.assert_index_equal(forecasts.columns, y.columns)
    assert np.isfinite(forecasts).all(axis=None)


def test_several_horizons_come_back_as_columns(make_frames, stack_horizons, forecaster):
    X, y = make_frames()
    both = stack_horizons({5: y, 1: y * 2})
    forecasts = forecaster.fit(X, both).predict(X)
    pd.testing.assert_index_equal(forecasts.columns, both.columns)
    assert forecaster.horizon_ == (5, 1)
    by_name = forecaster.predict_batch(X)
    assert list(by_name) == list(both.columns)


def test_a_series_comes_back_as_a_series(make_frames, forecaster):
    X, y = make_frames()
    forecasts = forecaster.fit(X, y["T2"]).predict(X)
    frame = clone(forecaster).fit(X, y[["T2"]]).predict(X)
    pd.testing.assert_series_equal(forecasts, frame["T2"])


def test_arrays_of_every_ticker_mean_the_tickers_in_their_order(
    make_frames, forecaster
):
    X, y = make_frames()
    expected = clone(forecaster).fit(X, y).predict(X)
    forecaster.set_params(**horizon_parameter(forecaster))
    forecasts = forecaster.fit(X, y.to_numpy()).predict(X)
    assert isinstance(forecasts, np.ndarray)
    np.testing.assert_array_equal(forecasts, expected)
    batch = forecaster.predict_batch(X)
    assert batch == dict(zip(y.columns, forecasts[-1], strict=True))


@pytest.mark.parametrize("shape", [(200,), (200, 1), (200, 3)])
def test_plain_arrays_come_back_in_their_shape(forecaster, shape):
    random = np.random.default_rng(0)
    X, y = random.standard_normal((200, 3)), random.normal(0, 0.01, shape)
    forecaster.set_params(**horizon_parameter(forecaster))
    forecasts = forecaster.fit(X, y).predict(X)
    assert isinstance(forecasts, np.ndarray)
    assert forecasts.shape == shape
    assert list(forecaster.predict_batch(X)) == [f"y{n}" for n in range(y[0].size)]
    np.testing.assert_array_equal(
        list(forecaster.predict_batch(X.tolist()).values()), forecasts[-1].reshape(-1)
    )


def test_array_features_give_frames_without_dates(make_frames, forecaster):
    X, y = make_frames()
    y.columns = range(y.shape[1])
    forecasts = forecaster.fit(X.to_numpy(), y).predict(X.to_numpy())
    pd.testing.assert_index_equal(forecasts.columns, y.columns)
    pd.testing.assert_index_equal(forecasts.index, pd.RangeIndex(200))


def horizon_parameter(forecaster):
    is_meta = isinstance(forecaster, ConformalForecaster | FallbackForecaster)
    return {"estimator__horizon" if is_meta else "horizon": 1}


def test_fit_batch_is_fit_and_predict_batch_the_last_row(make_frames, forecaster):
    X, y = make_frames()
    twin = clone(forecaster).fit_batch(X, y)
    forecasts = forecaster.fit(X, y).predict(X)
    assert twin.predict_batch(X) == forecasts.iloc[-1].to_dict()


def test_fitting_again_forgets_the_first_fit(make_frames, forecaster):
    X, y = make_frames()
    other_X, other_y = make_frames(150, 3, horizon=5, seed=1)
    twice = clone(forecaster).fit(X, y).fit(other_X, other_y)
    expected = forecaster.fit(other_X, other_y).predict(other_X)
    pd.testing.assert_frame_equal(twice.predict(other_X), expected)


def test_inputs_are_left_as_they_were(make_frames, forecaster):
    X, y = make_frames(missing=0.1)
    before_X, before_y = X.copy(), y.copy()
    forecaster.fit(X, y).predict(X)
    pd.testing.assert_frame_equal(X, before_X)
    pd.testing.assert_frame_equal(y, before_y)
    assert y.attrs == {"horizon": 1}


# Rows ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_a_row_is_forecast_to_the_bit_whatever_stands_beside_it(
    make_frames, forecaster
):
    X, y = make_frames(150, 5, n_features=6, missing=0.1)
    forecaster.fit(X, y)
    whole = forecaster.predict(X)
    for part in (slice(7, 8), slice(0, 33), slice(100, 150), slice(0, None, 3)):
        pd.testing.assert_frame_equal(
            forecaster.predict(X.iloc[part]), whole.iloc[part], check_exact=True
        )
    garbage = X.copy()
    garbage.iloc[60:100] = 1e6
    garbage.iloc[100:, ::2] = NAN
    garbage.iloc[130:] = NAN
    pd.testing.assert_frame_equal(
        forecaster.predict(garbage).iloc[:60], whole.iloc[:60], check_exact=True
    )


def test_a_ticker_without_features_at_a_date_has_no_forecast(make_frames, forecaster):
    X, y = make_frames(market=True)
    forecaster.fit(X, y)
    X.loc[X.index[-3:], X.columns.str.startswith("T1__")] = NAN
    forecasts = forecaster.predict(X)
    assert forecasts["T1"].isna().tolist() == [False] * 197 + [True] * 3
    assert forecasts.drop(columns="T1").notna().all(axis=None)


@pytest.mark.parametrize("scale", ["auto", None])
@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
def test_nor_has_it_one_without_volatility_features(make_frames, strategy, scale):
    X, y = make_frames(market=True, volatility=False)
    model = BatchLinearForecaster(
        strategy, market_features=True, target=ReturnTarget(scale=scale)
    )
    model.fit(X, y)
    X.loc[X.index[-3:], X.columns.str.startswith("T1__")] = NAN
    forecasts = model.predict(X)
    assert forecasts["T1"].isna().tolist() == [False] * 197 + [True] * 3
    assert forecasts.drop(columns="T1").notna().all(axis=None)


# Scores -------------------------------------------------------------------------------


def test_score_is_r2_over_the_finite_cells(make_frames):
    X, y = make_frames(missing=0.1)
    model = BatchLinearForecaster().fit(X, y)
    forecasts = model.predict(X)
    weight = np.linspace(0, 2, len(X))
    cells = (y.notna() & forecasts.notna()).to_numpy()
    weights = np.broadcast_to(weight[:, None], cells.shape)[cells]
    actual, predicted = y.to_numpy()[cells], forecasts.to_numpy()[cells]
    assert 0 < cells.sum() < cells.size
    assert model.score(X, y) == pytest.approx(r2_score(actual, predicted))
    assert model.score(X, y[y.columns[::-1]]) == pytest.approx(model.score(X, y))
    assert model.score(X, y.to_numpy()) == pytest.approx(model.score(X, y))
    assert model.score(X, y, weight) == pytest.approx(
        r2_score(actual, predicted, sample_weight=weights)
    )


def test_score_of_a_series(make_frames):
    X, y = make_frames()
    model = BatchLinearForecaster().fit(X, y["T0"])
    assert model.score(X, y["T0"]) == pytest.approx(r2_score(y["T0"], model.predict(X)))


def test_score_without_any_finite_pair_is_not_a_number(make_frames):
    X, y = make_frames()
    model = HistoricalMeanForecaster().fit(X, y)
    assert np.isnan(model.score(X, y * NAN))
    assert np.isnan(model.score(X, y, sample_weight=np.zeros(len(X))))


def test_score_of_labels_that_do_not_vary_is_zero(make_frames):
    X, y = make_frames()
    assert HistoricalMeanForecaster().fit(X, y).score(X, y * 0 + 0.5) == 0.0


def test_score_refuses_labels_of_other_rows_or_tickers(make_frames, forecaster):
    X, y = make_frames()
    forecaster.fit(X, y)
    with pytest.raises(PanelError, match=r"y must have the columns .* 3 columns"):
        forecaster.score(X, y[["T0", "T1", "T2"]])
    with pytest.raises(PanelError, match=r"y must have the columns .*\(200, 3\)"):
        forecaster.score(X, y.to_numpy()[:, :3])
    with pytest.raises(PanelError, match=r"same rows.* 200 and 199"):
        forecaster.score(X, y.iloc[1:])
    with pytest.raises(PanelError, match=r"same index.*2015-01-01.*at row 0"):
        forecaster.score(X.iloc[:-1], y.iloc[1:])
