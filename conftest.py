"""How tests run, wherever they stand: in ``tests``, in docstrings and on pages."""

import os

# Workers of pytest-xdist share the cores, so that each computes with one thread; OpenMP
# and the libraries of linear algebra read this once, when they are loaded. Threads of
# XGBoost that wait for each other spin on their cores: where something else runs on
# these, small fits then take ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "POLARS_MAX"):
        os.environ.setdefault(f"{name}_THREADS", "1")

from hypothesis import HealthCheck, settings

# No test depends on how busy the machine is, nor on what other runs have drawn.
settings.register_profile(
    "skbatch",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("skbatch")
