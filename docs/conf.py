"""Sphinx settings; `make docs` builds with warnings as errors."""

from __future__ import annotations

import astrollava

project = "astrollava"
author = "The astrollava developers"
copyright = "2026, The astrollava developers"
release = version = astrollava.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
# The example is a project of its own; the page on plugins leads to it.
exclude_patterns = ["_build", "example-plugin"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Docstrings put names of ours in single backquotes; those that lead nowhere stay plain.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"astrollava {release}"
html_theme_options = {"navigation_with_keys": True}
# The schema keeps its own address beside the pages: validators fetch it.
html_extra_path = ["schema"]
