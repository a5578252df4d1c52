"""The order of the examples: each may use what those before it have explained."""

from pathlib import Path

ORDER = (
    "plot_quickstart", "plot_clinic", "plot_text_column", "plot_calibration",
    "plot_robustness_report", "plot_lying_sensor", "plot_stream_updates", "plot_grid_search",
    "plot_conformal_sets", "plot_stacking", "plot_frozen_clip", "plot_onnx", "plot_own_encoder",
    "plot_own_masking", "plot_torch_loop",
)  # fmt: skip
SECTIONS = ("start", "practice", "torch_users")


class Didactic:
    """A key that sorts examples as listed here, and others behind them by name."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        name = Path(filename).stem
        return f"{ORDER.index(name) if name in ORDER else len(ORDER):03d} {name}"


def section_key(folder):
    """The place of a folder of examples; it may be given as a path."""
    name = Path(folder).name
    return SECTIONS.index(name) if name in SECTIONS else len(SECTIONS)
