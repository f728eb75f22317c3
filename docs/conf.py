"""Settings of the documentation site. `sphinx-build -W docs docs/_build/html` builds it, without the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")]

import builder  # noqa: E402
import torch  # noqa: E402
from builder.measured import filled  # noqa: E402

import augwise  # noqa: E402

project, author, copyright = "augwise", "The augwise authors", "The augwise authors"
version = release = augwise.__version__
html_title = "augwise"

extensions = ["myst_parser", "builder.mathtext"]
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "notes", "reference/strips", "reference/tables", "builder"]
suppress_warnings = ["myst.header"]  # notes begin below the page's own title
smartquotes = False
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
python_display_short_literal_types = True

html_theme = "furo"
pygments_dark_style = "github-dark"
html_static_path = ["_static"]
html_css_files = ["augwise.css"]
html_math_renderer = "drawn"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#a63f00",
        "color-brand-content": "#0a5c98",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "font-stack--monospace": "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    },
    "dark_css_variables": {"color-brand-primary": "#ff9a57", "color-brand-content": "#7cc0f2"},
}

torch.set_num_threads(max(1, min(2, os.cpu_count() or 1)))
builder.build()


def setup(app):
    """Measured figures in hand-written pages: ``[[ regions.guarded_cutout_32_ms | ms ]]``."""

    def fill(app, name, source):  # noqa: ARG001
        if "[[ " in source[0]:
            source[0] = filled(source[0])

    app.connect("source-read", fill)
