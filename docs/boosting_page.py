"""The table of the page on boosting, from what `benchmarks/` wrote."""

import corruption_page
import results_page
from results_page import DATA, OURS
from tables import as_rst

BOOSTING = "boosting + masked copies"


def write_pages(folder):
    """Write where boosting with masked copies is ahead, and where it is not."""
    folder.mkdir(parents=True, exist_ok=True)
    measured, broken = results_page.Measured("robustness.csv"), corruption_page.Measured()
    rates = (0.0, 0.5, 0.7)
    body = []
    for data in measured.data:
        ahead = [100 * results_page.lead(measured, BOOSTING, rate)[data] for rate in rates]
        errors = " / ".join(f"{measured.mean(data, model, 0.5, 'ece'):.3f}" for model in (OURS, BOOSTING))
        body.append([DATA[data], *(f"{points:+.1f}" for points in ahead), errors])
    header = ["Data", *(f"points, drop {rate:g}" for rate in rates), "calibration error, drop 0.5: AECF / boosting"]
    missing = as_rst(header, body, "AECF minus boosting with masked copies, as modalities go missing")
    body = []
    for data in broken.data:
        if not len(broken.seeds(data, BOOSTING, broken.kinds, "score")):
            continue
        points = [
            100 * (broken.mean(data, OURS, kinds, "score") - broken.mean(data, BOOSTING, kinds, "score"))
            for kinds in (["genuine"], broken.kinds)
        ]
        body.append([corruption_page.DATA[data], *(f"{value:+.1f}" for value in points)])
    lying = as_rst(["Data", "points, genuine", "points, half broken"], body, "The same, as modalities lie")
    (folder / "boosting.rst").write_text(missing + "\n" + lying + "\n", encoding="utf-8")
