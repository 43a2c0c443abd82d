"""Keep the benchmarks out of the test command, which collects every module here."""

collect_ignore_glob = ["*.py"]
