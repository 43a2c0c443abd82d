"""The settings one by one, for the command line and the documentation.

This module is for the other subpackages. It may change with any release.
"""

from skbatch.config._settings import SECTIONS, SETTINGS, Setting
from skbatch.config._template import effective_settings, settings_template

__all__ = [
    "SECTIONS",
    "SETTINGS",
    "Setting",
    "effective_settings",
    "settings_template",
]
