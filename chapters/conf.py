"""Sphinx makes the book of the chapters: `sphinx-build -W -b html chapters build/book`. It opens with no network."""
import re
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import as_rest, ops_as_functions, readable

project = "refquant"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["kernel_project/.pytest_cache"]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

default_role = "code"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "none"  # the text says it, with shapes
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "refquant"
html_css_files = ["book.css"]
html_js_files = ["arithmetic.js", "figures.js"]
html_show_copyright = False
html_show_search_summary = False  # a page opened from a folder may not fetch others

mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg-full.js"
html_static_path = ["_static", str(mathjax)]
mathjax_path = mathjax.name
mathjax4_config = mathjax3_config = {"options": {"enableMenu": False}}


CONTENTS = {
    "Foundations": ["00-integers", "01-golden-product", "02-autodiff"],
    "Five papers": ["03-banner", "04-sat", "05-n2uq", "06-hindsight", "07-int4"],
    "Verify": ["08-verify-hardware", "hardware/README", "hardware/training_steps", "09-verify-kernels",
               "kernels/README", "kernel_project/README"],
    "Together": ["10-all-methods", "claims", "glossary"],
    "Reference": [f"api/{name}" for name in ("integers", "gemm", "reals", "autodiff", "quantizers", "training",
                                             "hardware", "scalar", "golden", "testing")],
}


def contents(app, docname, source):
    """The table of contents, which GitHub would print as it stands, joins the first page here."""
    if docname == "index":
        for caption, pages in CONTENTS.items():
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def github_inline_math(app, docname, source):
    source[0] = re.sub(r"\$`([^`]+)`\$", r"$\1$", source[0])


def setup(app):
    app.connect("builder-inited", ops_as_functions)
    app.connect("source-read", contents)
    app.connect("source-read", github_inline_math)
    app.connect("autodoc-process-docstring", as_rest)
    app.connect("autodoc-process-signature", readable)
