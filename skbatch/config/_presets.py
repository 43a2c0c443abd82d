"""Settings for speed and for accuracy, by section and key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skbatch import batch
from skbatch.config._parts import Path, inapplicable, look_up

__all__ = ["PRESETS", "preset_settings"]

# What a preset sets in place of the defaults: section → key → value.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    name: {"model": values} for name, values in batch.PRESETS.items()
}


def preset_settings(preset: str, given: Mapping[str, Any]) -> dict[Path, Any]:
    """List what a preset sets, as far as it has an effect beside given settings."""
    settings = {
        (section, key): value
        for section, values in PRESETS[preset].items()
        for key, value in values.items()
    }
    choices = {("model", "kind"), ("fallback", "enabled"), ("fallback", "model")}
    chosen: dict[str, dict[str, Any]] = {"model": {}, "fallback": {}}
    for section, key in choices:
        value = look_up(given, (section, key), settings.get((section, key)))
        if value is not None:
            chosen[section][key] = value
    idle = {path for path, _ in inapplicable(chosen)}
    return {path: value for path, value in settings.items() if path not in idle}
