"""Sphinx configuration."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import compatibility_page  # noqa: E402
import corruption_page  # noqa: E402
import results_page  # noqa: E402
import speed_page  # noqa: E402

compatibility_page.write_page(HERE / "guide" / "generated" / "compatibility.rst")
results_page.write_pages(HERE / "guide" / "generated")
corruption_page.write_pages(HERE / "guide" / "generated")
speed_page.write_page(HERE / "guide" / "generated")

project = "sklearn-aecf"
author = "The sklearn-aecf developers"
project_copyright = "2026, the sklearn-aecf developers"
release = installed_version("sklearn-aecf")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "guide/generated", "auto_examples/**/*.ipynb"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Multimodal classification when modalities go missing, at home in scikit-learn.",
    "page_width": "1080px",
    "sidebar_width": "230px",
}
default_role = "any"
nitpicky = False
autosummary_generate = True
autodoc_default_options = {
    "members": True,
    # scikit-learn's own, with links into its glossary
    "exclude-members": ", ".join(f"set_{name}_request" for name in ("fit", "score", "transform", "predict_proba")),
}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
suppress_warnings = ["ref.any", "config.cache"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
    "ignore_repr_types": r"matplotlib|Display",
}
