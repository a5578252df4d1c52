"""
Sets that hold the right class, whatever is missing
===================================================

How can a model promise something for rows that lack modalities? A conformal set holds the right class with a chance
that is chosen beforehand. One threshold for all rows keeps that promise on average only: some patterns of missing
modalities may pay for others. A threshold for each pattern keeps it for each.
"""

import matplotlib.pyplot as plt
import numpy as np
from mapie.classification import SplitConformalClassifier

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import make_multimodal_classification

COVERAGE = 0.9
X, y = make_multimodal_classification(
    6000, n_classes=5, missing_rate=0.35, random_state=0
)
fit, calibration, test = np.split(np.arange(6000), [2000, 4000])
clf = AECFClassifier(max_epochs=20, random_state=0).fit(X[fit], y[fit])


# %%
# Split conformal prediction
# --------------------------
# MAPIE takes the rows as they are. It chooses the threshold on rows that the model has not seen: once for all of them,
# and once for each pattern of missing modalities.
def calibrated(rows):
    conformal = SplitConformalClassifier(clf, confidence_level=COVERAGE, prefit=True)
    return conformal.conformalize(X[rows], y[rows])


def sets_of(conformal, rows):
    return conformal.predict_set(X[rows])[1][..., 0]


patterns, pattern = np.unique(X.present, axis=0, return_inverse=True)
one_threshold = sets_of(calibrated(calibration), test)
one_a_pattern = np.empty_like(one_threshold)
for i in np.unique(pattern[test]):
    alike = calibrated(calibration[pattern[calibration] == i])
    one_a_pattern[pattern[test] == i] = sets_of(alike, test[pattern[test] == i])

# %%
# What was promised, and what was kept
# ------------------------------------
names = [" + ".join(np.array(clf.modality_names_)[p]) or "nothing" for p in patterns]
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), sharey=True, layout="constrained"
)
for sets, label, marker in (
    (one_threshold, "one threshold", "o"),
    (one_a_pattern, "one a pattern", "s"),
):
    covered = sets[np.arange(len(test)), y[test]]
    print(
        f"{label:14s} coverage {covered.mean():.3f}, {sets.sum(axis=1).mean():.2f} classes a set"
    )
    found = [pattern[test] == i for i in range(len(patterns))]
    left.plot([covered[rows].mean() for rows in found], names, marker, label=label)
    right.plot([sets[rows].sum(axis=1).mean() for rows in found], names, marker)
left.axvline(COVERAGE, color="grey", linestyle="--")
left.set(xlabel="coverage", title="Right class in the set", xlim=(0.5, 1.02))
right.set(xlabel="classes", title="Size of the set", xlim=(0, 5.2))
left.legend(frameon=False, loc="lower left")
plt.show()

# %%
# **Learnt:** both keep the promise on average. With one threshold a pattern falls short, and others have more than was
# promised. With one for each pattern they come closer to each other, at the price of slightly larger sets. A pattern
# needs some hundred rows to choose its threshold from.
