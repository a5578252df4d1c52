"""
From a clinic's table to one new patient
========================================

How does a raw table become a model that can be trusted? The table has numbers, categories and booleans, and whole tests
were not done. Patients of one hospital resemble each other. So settings, the end of training and the threshold are
chosen on hospitals that the model has not learnt from. A fourth hospital is the test.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import matplotlib.pyplot as plt
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import load_heart_disease
from sklearn_aecf.inspection import robustness_report

sklearn.set_config(enable_metadata_routing=True)
heart = load_heart_disease(as_frame=True)
new = heart.groups == 3
X, y, hospital = heart.data[~new], heart.target[~new], heart.groups[~new]
clf = AECFClassifier(
    modalities=heart.feature_names,
    embed_dim=32,
    hidden_dim=64,
    max_epochs=15,
    random_state=0,
)
clf.set_fit_request(groups=True)

# %%
# The search holds a hospital out in each fold; in each fit, a hospital says when to stop.
search = GridSearchCV(
    clf, {"mask_rate": [0.3, 0.6]}, scoring="roc_auc", cv=GroupKFold(3)
).fit(X, y, groups=hospital)
print(search.best_params_, f"ROC AUC in hospitals held out: {search.best_score_:.3f}")

# %%
# Then probabilities are calibrated, and the threshold is chosen across hospitals.
folds = StratifiedKFold(2, shuffle=True, random_state=0)
calibrated = CalibratedClassifierCV(search.best_estimator_, cv=folds, ensemble=False)
tuned = TunedThresholdClassifierCV(
    calibrated, scoring="balanced_accuracy", cv=GroupKFold(3)
)
tuned.fit(X, y, groups=hospital)
X_new, y_new = heart.data[new], heart.target[new]
print(f"Threshold {tuned.best_threshold_:.2f}; in the fourth hospital:")
print(f"ROC AUC {roc_auc_score(y_new, tuned.predict_proba(X_new)[:, 1]):.3f}")
print(f"balanced accuracy {balanced_accuracy_score(y_new, tuned.predict(X_new)):.3f}")

# %%
# What if a test is missing there, or wrong?
robustness_report(search.best_estimator_, X_new, y_new, n_repeats=1)

# %%
# Saved, loaded, and asked about one patient: what would each test have changed?
with TemporaryDirectory() as folder:
    joblib.dump(tuned, Path(folder) / "model.joblib")
    loaded = joblib.load(Path(folder) / "model.joblib")
patient = X_new.iloc[[0]]
print(
    f"Risk {loaded.predict_proba(patient)[0, 1]:.2f}, decision: {heart.target_names[loaded.predict(patient)[0]]}"
)
risks = {"all that is known": loaded.predict_proba(patient)[0, 1]}
for name, columns in heart.feature_names.items():
    if patient[columns].notna().to_numpy().any():
        risks[f"without {name}"] = loaded.predict_proba(patient.drop(columns=columns))[
            0, 1
        ]
figure, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.barh(list(risks), list(risks.values()), color=["C3"] + ["C0"] * (len(risks) - 1))
ax.axvline(tuned.best_threshold_, color="grey", linestyle="--", label="threshold")
ax.set(xlabel="risk", xlim=(0, 1), title="One patient, one test taken away at a time")
ax.invert_yaxis()
ax.legend(frameon=False)
plt.show()

# %%
# **Learnt:** the table goes in as it is, and ``groups`` keep hospitals apart at every step.
sklearn.set_config(enable_metadata_routing=False)
