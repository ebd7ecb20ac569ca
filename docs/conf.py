"""The settings of the site, which `sphinx-build -W docs docs/_build/html` builds."""

import re
import sys
from pathlib import Path

from joblib import cpu_count
from sphinx_gallery.sorting import ExplicitOrder

import sklhash

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "sklhash"
author = "The sklhash developers"
copyright = author
version = release = sklhash.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "api_links",
    "mathml",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!sklhash\b).*")]  # names of other projects

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

autosummary_generate = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "subsection_order": ExplicitOrder(
        [
            f"../examples/{folder}"
            for folder in ("methods", "data", "tuning", "displays", "extending")
        ]
    ),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": (),
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "reset_modules": ("matplotlib",),
    "parallel": min(cpu_count(), 8),
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "sklhash"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sklhash"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {"index": []}

linkcheck_timeout = 20


def link_pages(app, document, source):
    """Let links to files of the repository lead to the pages that are made of them."""
    text = re.sub(
        r"\]\((?:\.\./)+examples/(\w+/plot_\w+)\.py\)",
        r"](/auto_examples/\1.rst)",
        source[0],
    )
    source[0] = re.sub(
        r"\]\((?:\.\./)+(CHANGELOG|CONTRIBUTING|RELEASING|SECURITY)\.md\)",
        lambda link: f"](/project/{link[1].lower()}.md)",
        text,
    )


def keep_underscores(app, what, name, it, options, lines):
    """Have shapes like (n, n_features_in_) be no references."""
    lines[:] = [
        re.sub(r"(?<![\w`*])(n_[a-z_]+)_(?![\w`*])", r"\1\\_", line) for line in lines
    ]


def name_references_of_others(app, what, name, it, options, lines):
    """Show what inherited docstrings refer to in other projects by its name."""
    if not str(getattr(it, "__module__", "")).startswith("sklhash"):
        lines[:] = [
            re.sub(r":(?:ref|term):`([^`<]*?)(?:\s*<[^`]*>)?`", r"*\1*", line)
            for line in lines
        ]


def skip_fields(app, what, name, it, skip, options):
    """Leave out the fields of named tuples, which are described as parameters."""
    return True if str(it.__doc__).startswith("Alias for field number") else None


def setup(app):
    """Connect the above."""
    app.connect("source-read", link_pages)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-docstring", keep_underscores, priority=900)
    app.connect("autodoc-process-docstring", name_references_of_others, priority=900)
