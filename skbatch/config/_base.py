"""The base of all sections of a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Union,
    get_args,
    get_origin,
)

import numpy as np
import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from skbatch.config._errors import (
    Origin,
    Problem,
    config_error,
    dotted,
    nearest,
    shown,
    variable,
)
from skbatch.config._parts import Path, batch_class, default_of, inapplicable

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

__all__ = [
    "Rule",
    "Section",
    "accept",
    "allowed",
    "default_text",
    "find_problems",
    "given",
    "null_word",
    "sections",
    "setting",
    "settings_of",
    "takes_only_text",
]


class Rule:
    """What a type allows, in words; stands beside its constraints.

    Parameters
    ----------
    text : str
        Such as ``"an integer of at least 1"``.
    """

    def __init__(self, text: str) -> None:
        self.text = text


def setting(owner: Any, parameter: str, description: str, null: str = "") -> Any:
    """Declare a setting with the default of the parameter that it sets.

    Parameters
    ----------
    owner : class or str
        Whose constructor has the parameter; for a class of the batch room its name,
        since that room imports this one.
    parameter : str
        Name of the parameter.
    description : str
        What the setting does.
    null : str, default=""
        What stands for None in files, which have no word for it; empty if the setting
        cannot be None.

    Returns
    -------
    FieldInfo
        A pydantic field.
    """
    extra: dict[str, Any] | None = {"null": null} if null else None
    if isinstance(owner, str):

        def default() -> Any:
            return default_of(batch_class(owner), parameter)

        return Field(
            default_factory=default, description=description, json_schema_extra=extra
        )
    return Field(
        default_of(owner, parameter), description=description, json_schema_extra=extra
    )


def null_word(field: FieldInfo) -> str:
    """Find what stands for None in files; empty if a setting cannot be None."""
    extra = field.json_schema_extra
    return str(extra["null"]) if isinstance(extra, dict) and "null" in extra else ""


def default_text(field: FieldInfo) -> str:
    """Write the default of a field as files do."""
    value = field.get_default(call_default_factory=True)
    return shown(null_word(field) if value is None else value)


def allowed(field: FieldInfo) -> str:
    """Say in words what a setting may be."""
    rules = [item.text for item in field.metadata if isinstance(item, Rule)]
    texts = rules or _texts(field.annotation)
    if word := null_word(field):
        texts.append(shown(word))
    return _listed(texts)


def takes_only_text(field: FieldInfo) -> bool:
    """Tell whether a setting is text, or None."""
    return set(_kinds(field.annotation)) <= {str, type(None)}


def _kinds(annotation: Any) -> list[Any]:
    """List the classes of a type, without what constrains them."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return [kind for member in arguments for kind in _kinds(member)]
    return _kinds(arguments[0]) if origin is Annotated else [origin or annotation]


def _texts(annotation: Any) -> list[str]:
    """Say what each member of a type allows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return [text for member in arguments for text in _texts(member)]
    if origin is Literal:
        return [shown(value) for value in arguments]
    if origin is Annotated:
        return [item.text for item in arguments if isinstance(item, Rule)]
    return {bool: ["true", "false"], str: ["text"]}.get(annotation, [])


def _listed(texts: list[str]) -> str:
    """Join alternatives."""
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last


class _RaisesConfigError(ModelMetaclass):
    """Makes constructors raise the package's error in place of pydantic's.

    Not ``__init__``, which pydantic also calls for the sections within a section, and
    whose error would then hide which keys are wrong.
    """

    def __call__(self: Any, /, *args: Any, **values: Any) -> Any:
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise config_error(find_problems(self, error)) from None


class Section(BaseModel, metaclass=_RaisesConfigError):
    """Base of the sections of a configuration, and of the whole.

    Values are those of Python: None where an estimator takes None. Text that stands
    for it in files is accepted, too. None for a setting that cannot be None means that
    it is not given.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_assignment=True,
    )
    # Name of the section, and the settings that decide which others have an effect.
    _path: ClassVar[Path] = ()
    _choices: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _accept(cls, data: Any) -> Any:
        """Accept what numpy, pandas and files have for Python's values."""
        return accept(cls, data) if isinstance(data, Mapping) else data

    @field_validator("*", mode="after")
    @classmethod
    def _has_effect(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a setting that does nothing, since its author expects something."""
        chosen = {name: info.data.get(name) for name in cls._choices}
        if value is None or not cls._choices or None in chosen.values():
            return value
        for path, reason in inapplicable({cls._path[0]: chosen}):
            if path == (*cls._path, info.field_name):
                raise PydanticCustomError(
                    "inapplicable", "{reason}", {"reason": reason}
                )
        return value


def accept(section: type[Section], data: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what numpy, pandas and files have into Python's values.

    None for a setting that cannot be None is dropped, as if it were not given.
    """
    fields, values = section.model_fields, dict(data)
    for name, value in data.items():
        if name in fields and _section_class(fields[name]) is None:
            null = null_word(fields[name])
            values[name] = _plain(value, null)
            if values[name] is None and not null:
                del values[name]
    return values


def given(section: Section) -> dict[str, Any]:
    """List what was set, sections as dicts; neither defaults nor presets."""
    values = {
        name: getattr(section, name)
        for name in type(section).model_fields
        if name in section.model_fields_set
    }
    return {
        name: given(value) if isinstance(value, Section) else value
        for name, value in values.items()
    }


def sections(section: type[Section]) -> dict[str, type[Section]]:
    """Map the names of the sections within one to their classes."""
    found = {name: _section_class(f) for name, f in section.model_fields.items()}
    return {name: inner for name, inner in found.items() if inner is not None}


def settings_of(section: type[Section]) -> dict[Path, FieldInfo]:
    """Map the path of every setting to its field."""
    found: dict[Path, FieldInfo] = {}
    for name, field in section.model_fields.items():
        inner = _section_class(field)
        own = {(*section._path, name): field}
        found.update(own if inner is None else settings_of(inner))
    return found


def _section_class(field: FieldInfo) -> type[Section] | None:
    """Give the class of a field that is a section."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def find_problems(
    section: type[Section],
    error: ValidationError,
    origins: Mapping[Path, Origin] | None = None,
) -> list[Problem]:
    """Say what pydantic found wrong, one problem for each setting."""
    found: dict[Path, Problem] = {}
    fields = settings_of(section)
    for detail in error.errors(include_url=False):
        path, places = section._path, list(detail["loc"])
        while places and path not in fields:
            path = (*path, str(places.pop(0)))
        if path not in found:
            found[path] = _problem(section, path, places, detail, origins or {})
    return list(found.values())


def _problem(
    section: type[Section],
    path: Path,
    places: list[int | str],
    detail: ErrorDetails,
    origins: Mapping[Path, Origin],
) -> Problem:
    """Say what is wrong with one setting, or at some place in it."""
    fields, context = settings_of(section), detail.get("ctx", {})
    value = context.get("got", shown(detail["input"]))
    if detail["type"] == "extra_forbidden":
        return _unknown_key(section, path, value, origins)
    if path not in fields:
        advice = f"Write its keys below [{dotted(path)}]." if path else ""
        return Problem(path, "be a table of settings", value, advice)
    if detail["type"] == "inapplicable":
        reason = context["reason"]
        advice = f"Remove it, or change {reason.split(' = ')[0]}."
        return Problem(path, f"not be set with {reason}", value, advice)
    if detail["type"] == "entry":
        path = (*path, context["entry"])
        return Problem(path, context["rule"], value, context["advice"])
    items = [place for place in places if isinstance(place, int)]
    got = f"{value} as item {items[0] + 1}" if items else value
    advice = f"The default is {default_text(fields[path])}."
    return Problem(path, f"be {allowed(fields[path])}", got, advice)


def _unknown_key(
    section: type[Section], path: Path, value: str, origins: Mapping[Path, Origin]
) -> Problem:
    """Say that there is no such key, and which one was probably meant."""
    valid = list(settings_of(section))
    if len(path) == 1:
        valid += [(name,) for name in sections(section)]
    origin = origins.get(path)
    in_environment = origin is not None and origin.source == "environment"
    spell = variable if in_environment else dotted
    meant = nearest(path, valid)
    siblings = ", ".join(p[-1] for p in valid if p[:-1] == path[:-1])
    advice = f"Choose one of {siblings}."
    if meant is not None:
        advice = f"Did you mean `{spell(meant)}`?"
    return Problem(path, "be a key that skbatch knows", value, advice)


def _plain(value: Any, null: str = "") -> Any:
    """Turn a value into what TOML can hold, as far as nothing is lost."""
    if isinstance(value, str):
        return None if null and value == null else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | pd.Index):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return tuple(map(_plain, value))
    if isinstance(value, pd.Series) and not value.index.is_unique:
        return value
    if isinstance(value, pd.Series | Mapping):
        pairs = ((key, _plain(item)) for key, item in value.items())
        # A ticker without a group is as good as one that is not listed.
        return {key: item for key, item in pairs if not _is_missing(item)}
    return value


def _is_missing(value: Any) -> bool:
    """Tell whether a value is None or NaN."""
    return value is None or (isinstance(value, float) and bool(np.isnan(value)))
