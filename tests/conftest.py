"""Settings of hypothesis for all tests."""

from hypothesis import HealthCheck, settings

# By default an example fails that takes longer than 200 ms, and so does a test whose
# first examples take long to draw: on a busy machine any may. All else stays as it is,
# such as the fixed seeds where the variable CI is set.
settings.register_profile(
    "skbatch", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("skbatch")
