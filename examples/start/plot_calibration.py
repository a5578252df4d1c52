"""
Probabilities that mean what they say
=====================================

Is 80 % right in 80 of 100 cases? `AECFClassifier` calibrates itself per subset of modalities on rows that it holds
out. scikit-learn's ``CalibratedClassifierCV`` works around it as around any classifier. Here are both, on patients of
four hospitals whose tests are really missing.
"""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import train_test_split

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import load_heart_disease
from sklearn_aecf.inspection import ReliabilityDisplay
from sklearn_aecf.metrics import expected_calibration_error

X, y = load_heart_disease(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)

models = {
    "no calibration": AECFClassifier(temperature=None, random_state=0),
    "temperature per subset (default)": AECFClassifier(random_state=0),
    "CalibratedClassifierCV": CalibratedClassifierCV(
        AECFClassifier(temperature=None, random_state=0), cv=3
    ),
}
for name, model in models.items():
    probability = model.fit(X_train, y_train).predict_proba(X_test)
    error = expected_calibration_error(
        y_test, probability, debias=True, bootstrap_ci=0.9, random_state=0
    )
    low, high = error.interval
    print(f"{name:33s} ECE {error:.3f}  (90 % interval {low:.3f} to {high:.3f})")

# %%
# With few rows the intervals overlap: more cannot be said from 368 patients. The diagram shows where confidence and
# accuracy part, by the number of tests that a patient had.
ReliabilityDisplay.from_estimator(
    models["temperature per subset (default)"], X_test, y_test, n_bins=6
)

# %%
# **Learnt:** one calibration is built in. Look at the interval before you compare two.
