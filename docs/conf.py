"""Sphinx configuration."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import boosting_page  # noqa: E402
import changelog_page  # noqa: E402
import compatibility_page  # noqa: E402
import corruption_page  # noqa: E402
import overview_page  # noqa: E402
import published_page  # noqa: E402
import results_page  # noqa: E402
import speed_page  # noqa: E402
import strong_field_page  # noqa: E402

GENERATED = HERE / "guide" / "generated"
changelog_page.write_page(GENERATED / "changelog.rst")
compatibility_page.write_page(GENERATED / "compatibility.rst")
for page in (results_page, corruption_page, boosting_page, overview_page, published_page, strong_field_page):
    page.write_pages(GENERATED)
speed_page.write_page(GENERATED)

project = "sklearn-aecf"
author = "The sklearn-aecf developers"
project_copyright = "2026, the sklearn-aecf developers"
release = version = installed_version("sklearn-aecf")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "references",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "guide/generated", "auto_examples/**/*.ipynb", "**sg_execution_times*"]

html_theme = "pydata_sphinx_theme"
html_title = f"sklearn-aecf {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": f"sklearn-aecf {release}"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "changelog": []}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

default_role = "any"
toc_object_entries_show_parents = "hide"
nitpicky = False
autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {
    "members": True,
    "inherited-members": True,
}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
suppress_warnings = ["config.cache"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "subsection_order": "gallery_order.section_key",
    "within_subsection_order": "gallery_order.Didactic",
    "nested_sections": False,
    "abort_on_example_error": True,
    "show_memory": False,
    "thumbnail_size": (400, 260),
    # Its page of times would load scripts from other hosts.
    "write_computation_times": False,
    "download_all_examples": False,
    "ignore_repr_types": r"matplotlib|Display",
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("sklearn_aecf",),
}
