"""What the Displays share: colours, axes, the matrix of dots, and tables."""

import textwrap

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# Okabe and Ito's palette, made to be told apart by colour-blind readers; then dashes tell further lines apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", ":", "-."]
GREY = "#BBBBBB"


def new_axes(caller, ax=None, figsize=(6.4, 4.4)):
    """The axes that were given, or those of a new figure."""
    check_matplotlib_support(caller)
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


def plain(text):
    """Text of the user's as it stands: no mathematics between dollars, no legend entry hidden by an underscore."""
    text = str(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def wrapped(text, width=30):
    """A name of the user's on up to three lines."""
    text = str(text)
    lines = [text] if len(text) <= width else textwrap.wrap(text, width, max_lines=3, placeholder=" …")
    return plain("\n".join(lines))


def shortened(text, width=44):
    """A name of the user's on one line, without its middle where it is long."""
    text = str(text)
    return plain(text if len(text) <= width else f"{text[: width // 2]}…{text[-width // 2 + 1 :]}")


def room_for(names, most=44):
    """Inches that names beside an axis take."""
    return 0.075 * min(most, max((len(str(name)) for name in names), default=0))


def titled(ax, title):
    """Give axes a title, unless they have one."""
    if not ax.get_title():
        ax.set_title(title, fontsize="medium")


def line_style(index):
    """Colour and dash of the n-th line."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index // len(COLOURS) % len(DASHES)]}


def tidy(ax):
    """Fewer lines: no upper and right spine, a light grid behind."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)


def split_axes(ax, where, share, gap=0.06):
    """Cut a second axes off the given one, in a way that layouts keep labels of both inside the figure.

    Parameters
    ----------
    ax : Axes
    where : {"bottom", "right"}
    share : float
        Of the height or width that the new axes gets.
    gap : float

    Returns
    -------
    Axes
    """
    below = where == "bottom"
    spec = ax.get_subplotspec()
    if spec is None:
        box = [0, -share - gap, 1, share] if below else [1 + gap, 0, share, 1]
        return ax.inset_axes(box, sharex=ax if below else None)
    ratios = [1 - share, share]
    grid = (
        spec.subgridspec(2, 1, height_ratios=ratios, hspace=gap)
        if below
        else spec.subgridspec(1, 2, width_ratios=ratios, wspace=gap)
    )
    ax.set_subplotspec(grid[0])
    return ax.figure.add_subplot(grid[1], sharex=ax if below else None)


def dot_matrix(ax, subsets, names, counts=None):
    """Below an axis with one bar a subset: one row a modality, filled dots where the subset has it.

    Parameters
    ----------
    ax : Axes with bars at 0, 1, ...
    subsets : ndarray of bool, shape (n_subsets, n_modalities)
    names : sequence of str
    counts : sequence of int, default=None
        Rows of each bar, written below the dots.

    Returns
    -------
    Axes
        The one with the dots.
    """
    n_subsets, n_modalities = subsets.shape
    matrix = split_axes(ax, "bottom", share=min(0.6, 0.1 + 0.05 * n_modalities), gap=0.02)
    size = float(np.clip(1500 / max(n_subsets, 1), 12, 60))
    rows = np.arange(n_modalities)
    for m in rows[::2]:
        matrix.axhspan(m - 0.5, m + 0.5, color="#F4F4F4", zorder=0)
    for x, subset in enumerate(subsets):
        matrix.scatter(np.full(n_modalities, x), rows, s=size, color=GREY, alpha=0.5, linewidths=0, zorder=2)
        held = np.flatnonzero(subset)
        matrix.scatter(np.full(len(held), x), held, s=size, color="#222222", linewidths=0, zorder=4)
        if len(held) > 1:
            matrix.plot([x, x], [held[0], held[-1]], color="#222222", linewidth=1.2, zorder=3)
    matrix.set_yticks(rows, [shortened(name) for name in names])
    matrix.set_ylim(n_modalities - 0.5, -0.5)
    matrix.set_xlim(-0.7, n_subsets - 0.3)
    matrix.tick_params(axis="both", length=0)
    matrix.tick_params(axis="x", labelbottom=counts is not None)
    if counts is not None:
        matrix.set_xticks(np.arange(n_subsets), [str(count) for count in counts], rotation=90, fontsize=7)
        matrix.set_xlabel("rows")
    matrix.spines[:].set_visible(False)
    ax.tick_params(axis="x", labelbottom=False, length=0)
    return matrix


def as_frame(columns, caller):
    """A dict of arrays as a pandas DataFrame."""
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(f"{caller} requires pandas. You can install pandas with `pip install pandas`.") from None
    return pd.DataFrame(columns)


def is_unit_range(values):
    """Whether scores lie in [0, 1], so that the axis should span it."""
    values = np.asarray(values, dtype=float)
    finite = values[np.isfinite(values)]
    return finite.size > 0 and finite.min() >= 0 and finite.max() <= 1


def score_label(scoring, default="accuracy"):
    """Readable name of a scorer."""
    if scoring is None:
        return default
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    return name.replace("_", " ")
