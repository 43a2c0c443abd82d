import ast
import inspect
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import pytest
from sklearn.linear_model import LinearRegression

import skbatch

NAMES = sorted(set(skbatch.__all__) - {"__version__"})
CLASSES = [name for name in NAMES if inspect.isclass(getattr(skbatch, name))]
ESTIMATORS = [name for name in CLASSES if hasattr(getattr(skbatch, name), "fit")]
# Arguments without a default.
REQUIRED = {
    name: {"estimator": skbatch.HistoricalMeanForecaster()}
    for name in ("ConformalForecaster", "FallbackForecaster")
}
REQUIRED["BatchRegressorForecaster"] = {"regressor": LinearRegression()}


def make(name):
    return getattr(skbatch, name)(**REQUIRED.get(name, {}))


def run(code):
    return subprocess.check_output([sys.executable, "-c", code], text=True).split()


@pytest.mark.parametrize("name", NAMES)
def test_public_names_say_what_they_are(name):
    value = getattr(skbatch, name)
    assert value.__name__ == name
    documentation = inspect.getdoc(value)
    for section in ("Parameters", "Examples"):
        assert f"\n{section}\n---" in documentation, section


@pytest.mark.parametrize("name", CLASSES)
def test_public_methods_are_documented(name):
    methods = inspect.getmembers(getattr(skbatch, name), inspect.isfunction)
    for method, function in methods:
        if not method.startswith("_") and function.__module__.startswith("skbatch"):
            assert inspect.getdoc(function), method


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_show_themselves_in_notebooks(name):
    html = make(name)._repr_html_()
    assert html.lstrip().startswith("<style>")
    assert name in html


@pytest.mark.parametrize("name", NAMES)
def test_signatures_of_public_names_are_typed(name):
    value = getattr(skbatch, name)
    function = value.__init__ if inspect.isclass(value) else value
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isclass(value):
        parameters = parameters[1:]
    untyped = [p.name for p in parameters if p.annotation is p.empty]
    assert not untyped


def test_importing_the_package_imports_none_of_its_dependencies():
    heavy = "{'numpy', 'pandas', 'sklearn', 'xgboost', 'bottleneck'}"
    assert run(f"import skbatch, sys; print(*{heavy} & {{*sys.modules}})") == []


def test_optional_packages_are_imported_to_use_them_only():
    optional = "{'skfolio', 'pypfopt', 'cvxpy', 'matplotlib'}"
    code = (
        "import sys, skbatch, skbatch.model_selection, skbatch.metrics;"
        "skbatch.robust_forecast_returns;"
        f"print(*{optional} & {{*sys.modules}})"
    )
    assert run(code) == []


def test_type_checkers_see_the_names_that_are_imported_on_first_use():
    tree = ast.parse(inspect.getsource(skbatch))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {name.name: node.module for node in block.body for name in node.names}
    assert seen == skbatch._ROOMS


def test_names_are_listed_before_they_are_imported():
    listed = run("import skbatch; print(*dir(skbatch))")
    assert set(skbatch.__all__) <= set(listed)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'Forecaster'"):
        skbatch.Forecaster  # noqa: B018


def test_all_is_sorted_and_complete():
    assert skbatch.__all__ == sorted(skbatch.__all__)
    assert set(skbatch._ROOMS) == set(NAMES)


def test_the_version_is_that_of_the_distribution():
    assert skbatch.__version__ == version("skbatch")


def test_the_package_is_marked_as_typed():
    assert files("skbatch").joinpath("py.typed").is_file()
