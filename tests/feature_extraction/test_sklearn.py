"""What scikit-learn asks of a transformer."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skbatch import SharedFeatureExtractor, check_panel
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.feature_extraction._registry import Feature
from skbatch.panel.engine import CheckedPanel


def expected_failures(estimator):
    return {
        "check_methods_sample_order_invariance": (
            "The rows of a panel are in the order of time and each is computed from "
            "those before it, so in another order they have, and must have, other "
            "features."
        ),
        "check_methods_subset_invariance": (
            "Batches cut out of an array carry no dates and count as rows that follow "
            "the fitted ones, so they look back on other rows than in the whole."
        ),
    }


# The checks pass few rows of normally distributed values, of which half are no prices.
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.PanelWarning")
@parametrize_with_checks(
    [SharedFeatureExtractor(), SharedFeatureExtractor(windows=(2, 3), cache_size=0)],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def closes(ohlcv):
    return ohlcv["Close"].iloc[150:300]


@pytest.fixture
def extractor():
    return SharedFeatureExtractor(["returns", "market"], windows=(5, 21))


def test_names_and_containers(closes, extractor):
    frame = extractor.fit_transform(closes)
    assert isinstance(frame, pd.DataFrame)
    assert (frame.dtypes == np.float32).all()
    assert frame.to_numpy().flags.c_contiguous
    assert frame.index is closes.index or frame.index.equals(closes.index)
    assert list(extractor.get_feature_names_out()) == list(frame)
    assert list(extractor.get_feature_names_out(list(closes))) == list(frame)
    assert list(extractor.feature_names_in_) == list(closes)
    assert extractor.n_features_in_ == 8
    array = extractor.fit_transform(closes.to_numpy())
    assert array.dtype == np.float32
    assert array.flags.writeable
    np.testing.assert_array_equal(array, frame)
    assert extractor.get_feature_names_out()[0] == "x0__log_return_1"
    assert list(extractor.get_feature_names_out(list(closes))) == list(frame)


def test_wrong_names_are_refused(closes, extractor):
    with pytest.raises(NotFittedError):
        extractor.get_feature_names_out()
    extractor.fit(closes)
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        extractor.get_feature_names_out([f"a{number}" for number in range(8)])
    extractor.fit(closes.to_numpy())
    with pytest.raises(ValueError, match="should have length equal"):
        extractor.get_feature_names_out(["a"])


def test_set_output(closes, extractor):
    expected = extractor.fit_transform(closes)
    model = clone(extractor).set_output(transform="pandas")
    pd.testing.assert_frame_equal(model.fit_transform(closes), expected)
    from_array = model.fit(closes.to_numpy()).transform(closes.to_numpy())
    assert list(from_array) == list(model.get_feature_names_out())
    polars = pytest.importorskip("polars")
    for frame in (
        clone(extractor).set_output(transform="polars").fit_transform(closes),
        clone(extractor).set_output(transform="polars").fit(closes).transform(closes),
    ):
        assert isinstance(frame, polars.DataFrame)
        assert frame.columns == list(expected)
        np.testing.assert_array_equal(frame.to_numpy(), expected)
    with config_context(transform_output="pandas"):
        pd.testing.assert_frame_equal(extractor.fit_transform(closes), expected)


def test_set_output_leaves_the_cached_frame_alone(closes, extractor):
    expected = extractor.fit_transform(closes)
    model = make_pipeline(extractor, StandardScaler()).set_output(transform="pandas")
    scaled = model.fit_transform(closes)
    assert list(scaled) == list(expected)
    assert list(model.get_feature_names_out()) == list(expected)
    pd.testing.assert_frame_equal(extractor.fit_transform(closes), expected)


def test_a_loaded_extractor_gives_the_same_features(closes, extractor, tmp_path):
    extractor.set_params(functions={"level": np.log}, groups={"T4": "x", "T5": "x"})
    extractor.fit(closes.iloc[:100])
    expected = extractor.transform(closes.iloc[100:])
    joblib.dump(extractor, tmp_path / "extractor.joblib")
    for loaded in (
        joblib.load(tmp_path / "extractor.joblib"),
        pickle.loads(pickle.dumps(extractor)),
    ):
        pd.testing.assert_frame_equal(loaded.transform(closes.iloc[100:]), expected)


def test_a_feature_that_was_removed_says_so(extractor, closes):
    saved = pickle.dumps(extractor.fit(closes).plan_)
    with pytest.raises(ValueError, match="Got 'log_retour'"):
        pickle.loads(saved.replace(b"log_return", b"log_retour"))
    feature = extractor.plan_.ticker_features[1]
    assert pickle.loads(pickle.dumps(feature)) == feature
    assert isinstance(feature, Feature)


def test_the_panel_is_not_changed(ohlcv, extractor):
    before = ohlcv.copy()
    extractor.fit(ohlcv).transform(ohlcv)
    pd.testing.assert_frame_equal(ohlcv, before)


@pytest.mark.parametrize(
    "bad",
    [
        {"windows": "x"},
        {"families": ["unknown"]},
        {"lookback": 1},
        {"groups": {"nobody": 1}},
        {"functions": {"own": len}},
        {"market_data": 3},
        {"cache_size": -1},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_a_fit_that_fails_changes_nothing(closes, extractor, bad):
    expected = extractor.fit_transform(closes)
    before = dict(vars(extractor))
    old = {name: before[name] for name in bad}
    with pytest.raises((ValueError, PanelError)):
        extractor.set_params(**bad).fit(closes[closes.columns[::-1]].iloc[:90])
    extractor.set_params(**old)
    assert vars(extractor).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(extractor).items())
    pd.testing.assert_frame_equal(extractor.transform(closes), expected)
    with pytest.raises(ValueError, match="feature names"):
        extractor.transform(closes[closes.columns[::-1]])


def test_a_warning_that_is_an_error_changes_nothing(closes, extractor):
    extractor.fit(closes)
    before = dict(vars(extractor))
    with pytest.raises(PanelWarning):
        extractor.fit(closes.iloc[:, ::-1].iloc[:10])
    assert all(value is before[name] for name, value in vars(extractor).items())


def test_a_checked_panel_is_not_checked_again(ohlcv, monkeypatch):
    extractor = SharedFeatureExtractor(windows=(5, 21))
    expected = extractor.fit_transform(ohlcv)
    panel = CheckedPanel(check_panel(ohlcv))
    monkeypatch.setattr("skbatch.feature_extraction._additions.check_panel", None)
    other = SharedFeatureExtractor(windows=(5, 21))
    pd.testing.assert_frame_equal(other.fit_transform(panel), expected)
    assert list(other.feature_names_in_) == list(extractor.feature_names_in_)
    pd.testing.assert_frame_equal(other.fit(panel).transform(panel), expected)
    turned = CheckedPanel(panel.frame.iloc[:, ::-1])
    with pytest.raises(ValueError, match="feature names"):
        other.transform(turned)
