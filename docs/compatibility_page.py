"""The compatibility table, from the expectations that the tests hold every cell to."""

import importlib.util
import sys
from pathlib import Path

FORMS = {
    "MultimodalData": "MultimodalData",
    "array": "2-D array",
    "pandas": "pandas",
    "polars": "polars",
    "SliceDict": "SliceDict",
}


def _expectations():
    path = Path(__file__).parent.parent / "tests" / "compatibility.py"
    spec = importlib.util.spec_from_file_location("compatibility", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["compatibility"] = module
    spec.loader.exec_module(module)
    return module


def write_page(target):
    """Write the table as reStructuredText."""
    tests = _expectations()
    reasons, rows = {}, []
    for name in tests.PATHS:
        row = [f"``{name}``"]
        for form in FORMS:
            status = tests.EXPECTED[form].get(name, "works")
            if isinstance(status, tuple):
                number = reasons.setdefault(status[1], len(reasons) + 1)
                status = f"refused ({number})"
            row.append(status)
        rows.append(row)
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 36 16 12 12 12 12", ""]
    for row in [["Path", *FORMS.values()], *rows]:
        lines += [("   * - " if i == 0 else "     - ") + cell for i, cell in enumerate(row)]
    lines += ["", "Refused by scikit-learn because:", ""]
    lines += [f"{number}. {reason[0].upper()}{reason[1:]}." for reason, number in reasons.items()]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
