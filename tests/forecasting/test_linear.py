import numpy as np
import pandas as pd
import pytest

from skbatch import BatchLinearForecaster
from skbatch.exceptions import ModelFitError
from skbatch.forecasting import ReturnTarget


def test_without_a_tail_the_automatic_penalty_is_one(make_frames):
    X, y = make_frames(100)
    automatic, explicit = (
        BatchLinearForecaster(alpha=alpha, target=ReturnTarget(validation_size=0))
        .fit(X, y)
        .predict(X)
        for alpha in ("auto", 1.0)
    )
    pd.testing.assert_frame_equal(automatic, explicit, check_exact=True)


@pytest.mark.parametrize("alpha", [0, -1.0, "other", None])
def test_the_penalty_must_be_positive(make_frames, alpha):
    X, y = make_frames(60)
    with pytest.raises(ValueError, match="'alpha' parameter"):
        BatchLinearForecaster(alpha=alpha).fit(X, y)


def test_failures_of_linear_algebra_are_failed_fits(make_frames, monkeypatch):
    def fail(*args):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    X, y = make_frames(60)
    monkeypatch.setattr(np.linalg, "eigh", fail)
    with pytest.raises(ModelFitError, match="LinAlgError: Eigenvalues did not"):
        BatchLinearForecaster().fit(X, y)


def test_absurd_inputs_are_winsorised(make_frames):
    X, y = make_frames(200, volatility=False, signal=1.0)
    model = BatchLinearForecaster(target=ReturnTarget(market_weight=0.0)).fit(X, y)
    extreme, absurd = X.iloc[[-1]].copy(), X.iloc[[-1]].copy()
    # Inputs have deviations of about one and are cut at five of them.
    extreme["T0__f0"], absurd["T0__f0"] = 6.0, 1e30
    forecasts = model.predict(absurd)
    pd.testing.assert_frame_equal(forecasts, model.predict(extreme))
    assert forecasts["T0"].abs().iloc[0] < 5.5 * y["T0"].std()
