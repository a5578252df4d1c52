"""Tables of the documentation, as reStructuredText and as Markdown."""

import numpy as np


def as_rst(header, body, caption):
    lines = [f".. list-table:: {caption}", "   :header-rows: 1", ""]
    for row in [header, *body]:
        lines += [("   * - " if i == 0 else "     - ") + cell for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def as_markdown(header, body, caption):
    lines = [header, ["---"] * len(header), *body]
    return f"{caption}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def with_error(values, digits, sign=""):
    """A mean, and its standard error where there are several values; "+" as `sign` shows that of the mean."""
    error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.{digits}f}{error}"
