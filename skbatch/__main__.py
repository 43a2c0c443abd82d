"""Entry point of the command line: ``skbatch`` or ``python -m skbatch``."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say what to install when its packages are missing."""
    try:
        from skbatch.cli import app
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit(
            f"error: the command line needs {error.name}. "
            "Install it with: pip install 'skbatch[cli]'"
        )
    app(prog_name="skbatch")


if __name__ == "__main__":
    main()
