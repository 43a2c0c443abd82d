"""Commands whose help and usage errors name values as users know them."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

T = TypeVar("T", bound=Any)


class Command(TyperCommand):
    """A command whose help and errors use the words of the command line."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, without the names of Python types in their help."""
        return [_without_type(each) for each in super().get_params(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line, and explain values that cannot be used."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            raise _explained(error) from error


class Group(TyperGroup):
    """A group of commands whose help has the same form as that of the commands."""

    command_class = Command

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, without the names of Python types in their help."""
        return [_without_type(each) for each in super().get_params(ctx)]


def register(app: typer.Typer, function: T) -> T:
    """Add a function as a command; the lines of its docstring are joined."""
    # Rich would break a help text where its docstring breaks, whatever the width.
    text = re.sub(r"(?<!\n)\n +(?=\S)", " ", function.__doc__ or "")
    app.command(cls=Command, help=text)(function)
    return function


def _without_type(parameter: Any) -> Any:
    """Show the metavar of a parameter, if it has one, and no type such as <path>."""
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda ctx: None
    elif parameter.metavar is None:
        parameter.metavar = ""
    return parameter


def _explained(error: typer.BadParameter) -> typer.BadParameter:
    """Replace the message of a type check by the rule, and what broke it."""
    # Newer releases of typer validate with pydantic, whose messages are about types.
    problems: list[Any] = getattr(error.__cause__, "errors", list)()
    if not problems:
        return error
    parameter: Any = error.param
    whole = re.search(r"\bint\b", str(parameter.type_descriptor.annotation))
    rule = f"must be a {'whole number' if whole else 'number'}"
    low, high = parameter.min, parameter.max
    if low is not None and high is not None:
        rule += f" from {low:g} to {high:g}"
    elif low is not None:
        rule += f" of at least {low:g}"
    text = f"{rule}. Got {problems[0]['input']}."
    return typer.BadParameter(text, ctx=error.ctx, param=error.param)
