"""What the package needs of scikit-learn beyond its public names.

This is the only place where its private names are imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Self, TypeAlias, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics._scorer import _Scorer as Scorer
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    Options,
    StrOptions,
    make_constraint,
)
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in

__all__ = [
    "DefaultPartsMixin",
    "HasMethods",
    "Hidden",
    "Interval",
    "ListOf",
    "Scorer",
    "Seed",
    "StrOptions",
    "TextOf",
    "all_or_nothing",
    "check_feature_names_in",
    "last_step",
    "make_constraint",
]

Seed: TypeAlias = int | np.random.RandomState | None
Method = TypeVar("Method", bound=Callable[..., Any])


class TextOf(Options):
    """Constraint: text of a form."""

    def __init__(self, pattern: str, words: str) -> None:
        super().__init__(str, set())
        self.pattern, self.words = pattern, words

    def is_satisfied_by(self, val: object) -> bool:
        """Return whether the whole value has the form."""
        return isinstance(val, str) and bool(re.fullmatch(self.pattern, val))

    def __str__(self) -> str:
        return self.words


class ListOf(Options):
    """Constraint: different items, each of which satisfies another constraint."""

    def __init__(self, item: Any, least: int = 1) -> None:
        super().__init__(object, set())
        self.item, self.least = item, least

    def is_satisfied_by(self, val: object) -> bool:
        """Return whether a value is a list, or the like, of such items."""
        if isinstance(val, str | Mapping) or not isinstance(val, Iterable):
            return False
        items, rule = list(val), make_constraint(self.item)
        # Bools are ints, but nobody passes one as a number on purpose.
        right = all(rule.is_satisfied_by(i) and not isinstance(i, bool) for i in items)
        return right and self.least <= len(items) == len(set(items))

    def __str__(self) -> str:
        return f"a sequence of different items, each {make_constraint(self.item)}"


def last_step(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the last step of a fitted pipeline, and what `X` is for it."""
    if not isinstance(estimator, Pipeline):
        return estimator, X
    return estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X


def all_or_nothing(fit: Method) -> Method:
    """Let a `fit` that fails leave the estimator as it was before."""

    @wraps(fit)
    def whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast(Method, whole)


class DefaultPartsMixin(BaseEstimator):
    """Nested parameters also of parts that are None, which stands for a default."""

    def _default_parts(self) -> dict[str, Callable[[], Any]]:
        """Name the parts, and how the default of each is made."""
        return {}

    def _part(self, name: str) -> Any:
        """Return a part, or its default."""
        part = getattr(self, name)
        return self._default_parts()[name]() if part is None else part

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of default parts included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to list the parameters of the parts, such as ``target__thin``, also
            where the part is None.

        Returns
        -------
        dict of str to object
            Parameters by name.
        """
        params = super().get_params(deep=deep)
        for name in self._default_parts() if deep else ():
            if getattr(self, name) is None:
                inner = self._part(name).get_params(deep=True)
                params.update({f"{name}__{key}": inner[key] for key in inner})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; one of a part that is None makes the part first.

        Parameters
        ----------
        **params
            Parameters by name, nested ones as ``part__name``.

        Returns
        -------
        self : estimator
            The estimator.
        """
        nested = {key.partition("__")[0] for key in params if "__" in key}
        for name in self._default_parts():
            if name in nested and params.get(name, getattr(self, name)) is None:
                params = {name: self._part(name), **params}
        return super().set_params(**params)
