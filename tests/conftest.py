import os

# Threads of XGBoost that wait for each other spin on their cores. Where something else
# runs on these cores, as in parallel tests, small fits then take ten times as long.
# OpenMP reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
