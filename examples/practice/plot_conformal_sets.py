"""
Sets that hold the right class, whatever is missing
===================================================

How can a model promise something for rows that lack modalities? A conformal set holds the right class with a chance
that is chosen beforehand. One threshold for all rows keeps that promise on average only: some patterns of missing
modalities may pay for others. A threshold for each pattern keeps it for each.
"""

import matplotlib.pyplot as plt
import numpy as np

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
# The threshold is a quantile of one minus the probability of the right class, on rows that the model has not seen.
def threshold(probability, target):
    missed = np.sort(1 - probability[np.arange(len(target)), target])
    rank = int(np.ceil((len(target) + 1) * COVERAGE)) - 1
    return missed[min(rank, len(missed) - 1)]


probability = clf.predict_proba(X[calibration])
for_all = threshold(probability, y[calibration])
patterns, pattern = np.unique(X.present, axis=0, return_inverse=True)
by_pattern = np.array(
    [
        threshold(probability[rows], y[calibration][rows])
        if (rows := pattern[calibration] == i).any()
        else 1.0
        for i in range(len(patterns))
    ]
)

# %%
# What was promised, and what was kept
# ------------------------------------
missed = 1 - clf.predict_proba(X[test])
names = [" + ".join(np.array(clf.modality_names_)[p]) or "nothing" for p in patterns]
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), sharey=True, layout="constrained"
)
for limit, label, marker in (
    (for_all, "one threshold", "o"),
    (by_pattern[pattern[test], None], "one a pattern", "s"),
):
    sets = missed <= limit
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
