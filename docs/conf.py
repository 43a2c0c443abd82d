"""Settings of Sphinx: `sphinx-build -W docs docs/_build/html`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

# Examples run in this process. Threads that wait should not spin on its cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tables  # noqa: E402

import skbatch  # noqa: E402

project = "skbatch"
author = "The skbatch developers"
project_copyright = "The skbatch developers"
version = release = skbatch.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_parser",
]
exclude_patterns = ["_build", "_generated/*.inc.rst", "**/*.py"]
nitpicky = False
default_role = None
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections have them
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"[\\/]plot_",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 0,
}

html_theme = "pydata_sphinx_theme"
html_title = "skbatch"
html_static_path = ["_static"]
html_css_files = ["skbatch.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def setup(app):
    """Write the tables that are made from the package itself."""
    app.connect("builder-inited", lambda app: tables.write(HERE / "_generated"))
