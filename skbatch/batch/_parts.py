"""Parts of the system that are None and yet can be looked into and tuned."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import BaseEstimator

from skbatch.batch._errors import BatchErrorHandler
from skbatch.batch.config._presets import default_features, default_forecaster

__all__ = ["PARTS", "PartsMixin"]

PARTS = ("features", "forecaster", "error_handler")


class PartsMixin(BaseEstimator):
    """Nested parameters of parts, given or default."""

    preset: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of default parts included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to list the parameters of the parts, such as
            ``forecaster__estimator__max_depth``, also where the part is None.

        Returns
        -------
        dict of str to object
            Parameters by name.
        """
        params = super().get_params(deep=deep)
        for name in PARTS if deep else ():
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
        self : BatchForecastingSystem
            The system.
        """
        if "preset" in params:
            self.preset = params["preset"]
        nested = {key.partition("__")[0] for key in params if "__" in key}
        for name in PARTS:
            if name in nested and params.get(name, getattr(self, name)) is None:
                params = {name: self._part(name), **params}
        return super().set_params(**params)

    def _part(self, name: str) -> Any:
        """Give a part, or the default one."""
        part = getattr(self, name)
        if part is not None:
            return part
        if name == "features":
            return default_features(self.preset)
        if name == "forecaster":
            return default_forecaster(self.preset)
        return BatchErrorHandler()
