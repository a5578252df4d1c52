"""
What happens when a test is missing: all the pictures
=====================================================

What happens when a test is missing, or wrong? From a fitted estimator to "what happens when it fails" in two lines,
then every picture there is.
"""

from sklearn.model_selection import train_test_split

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import load_heart_disease
from sklearn_aecf.inspection import (
    DropRateDisplay,
    GateDisplay,
    MissingnessDisplay,
    ReliabilityDisplay,
    SubsetDisplay,
    TrainingDisplay,
    modality_importance,
    robustness_report,
)

X, y = load_heart_disease(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)
clf = AECFClassifier(random_state=0).fit(X_train, y_train)

# %%
# The score as more and more tests are missing. Bands show the spread over draws.
DropRateDisplay.from_estimator(clf, X_test, y_test)

# %%
# Which tests the patients had: half of them no fluoroscopy and no thallium test.
MissingnessDisplay.from_data(X)

# %%
# The score from each subset of the tests; the darker bar has them all. A subset counts the patients who had all of it.
SubsetDisplay.from_estimator(clf, X_test, y_test, sort="score")

# %%
# Is 80 % still 80 % with fewer tests?
ReliabilityDisplay.from_estimator(clf, X_test, y_test, n_bins=6)

# %%
# Where the gate looks, and how evenly.
GateDisplay.from_estimator(clf, X_test, y_test)

# %%
# How the fit went.
TrainingDisplay.from_estimator(clf)

# %%
# What each test is worth: Shapley values of the negative log loss.
importance = modality_importance(
    clf, X_test, y_test, method="shapley", scoring="neg_log_loss"
)
for name, value in sorted(
    zip(importance.modality_names, importance.importances_mean, strict=True),
    key=lambda p: -p[1],
):
    print(f"{name:12s} {value:+.3f}")

# %%
# Everything in one page that needs no network: ``report.to_html("report.html")``, or shown in a notebook as it is.
report = robustness_report(clf, X_test, y_test)
print(report.numbers)

# %%
# **Learnt:** one call makes the page, and each picture can be had by itself.
