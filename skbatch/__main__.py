"""Entry point of the command line: ``skbatch`` or ``python -m skbatch``."""

import os
import sys
import traceback

from skbatch._messages import printable


def main() -> None:
    """Run the command line, or name the package that it lacks."""
    # XGBoost's threads spin while they wait for each other: on cores that are busy with
    # something else, a fit would take many times as long. OpenMP reads it when loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from skbatch.cli import app
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit(
            f"error: the command line needs {error.name}. "
            "Install it with: pip install 'skbatch[cli]'"
        )
    try:
        app(prog_name="skbatch")
    except Exception:
        # The message may quote a file, and so control characters.
        sys.exit(printable(traceback.format_exc().rstrip("\n")))


if __name__ == "__main__":
    main()
