"""Settings of hypothesis for all tests."""

from hypothesis import settings

# By default an example that takes longer than 200 ms fails, and on a busy machine any
# may. All else stays as it is, such as the fixed seeds where the variable CI is set.
settings.register_profile("skbatch", deadline=None)
settings.load_profile("skbatch")
