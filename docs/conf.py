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
    "sphinx-mathjax-offline",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_parser",
]
exclude_patterns = ["_build", "_generated/*.inc.rst", "**/*.py"]
default_role = "literal"  # the docstrings' single backticks are code
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections have them
autodoc_member_order = "groupwise"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
# A build with -W fails on docstrings that break one of numpydoc's rules.
numpydoc_validation_checks = {
    "all",
    "ES01",  # One line is enough where nothing more is to be said,
    "EX01",  # not everything needs an example,
    "SA01",  # and guides link to what belongs together.
    "GL01",  # Docstrings begin on the line of their quotes, as ruff demands.
    "YD01",  # Context managers say what they are for, not what they yield.
    "RT02",  # `self : Class` is scikit-learn's way to say what `fit` returns,
}
# Users read the fields of results and of settings, and make none of them: their
# docstrings list them as attributes, where numpydoc looks for parameters.
numpydoc_validation_exclude = {
    r"\.(Batch|BatchComparison|ForecastResult"
    r"|MeanInference|MemoryEstimate|PredictionInterval|PreflightReport"
    r"|Provenance|Reason|WalkForwardResult|\w+Config)$"
}

myst_heading_anchors = 3

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"^(?!plot_)",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 0,
    "write_computation_times": False,  # that page loads scripts from other sites
}

html_search_scorer = str(HERE / "_static" / "scorer.js")
html_theme = "pydata_sphinx_theme"
html_title = "skbatch"
html_static_path = ["_static"]
html_css_files = ["skbatch.css"]
html_js_files = ["tables.js"]
# A page without others below it has nothing to show there; tables of results need room.
html_sidebars = {"troubleshooting": [], "benchmarks": [], "experiments/*": []}
html_theme_options = {
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def skip_foreign(app, what, name, member, skip, options):
    """Leave out what a class inherits from other packages."""
    member = getattr(member, "fget", getattr(member, "func", member))
    owner = getattr(member, "__objclass__", member)  # of methods written in C
    module = getattr(owner, "__module__", None) or ""
    foreign = module and not module.startswith("skbatch")
    inherited = name == "fromkeys"  # of dict
    field = type(member).__name__ == "_tuplegetter"  # the class has its text
    return True if foreign or inherited or field else None


def setup(app):
    """Connect what the pages take from the package itself."""
    app.connect("builder-inited", lambda app: tables.write(HERE / "_generated"))
    app.connect("autodoc-skip-member", skip_foreign)
