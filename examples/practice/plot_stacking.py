"""
Stacking with gradient boosting
===============================

Boosting or fusion, when nobody can say which is better? Gradient boosting takes missing values as they are and is
hard to beat on tables of few features. A stack lets both speak.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import load_heart_disease

X, y = load_heart_disease(return_X_y=True)

# The container becomes one table, NaN where a test is missing: what boosting takes.
boosting = make_pipeline(
    FunctionTransformer(np.asarray),
    HistGradientBoostingClassifier(max_iter=50, random_state=0),
)
ours = AECFClassifier(max_epochs=20, random_state=0)
stack = StackingClassifier(
    [("boosting", boosting), ("aecf", ours)], LogisticRegression(), cv=3
)

figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
for name, model in {"boosting": boosting, "AECF": ours, "stack": stack}.items():
    scores = cross_val_score(model, X, y, cv=3, scoring="roc_auc")
    error = scores.std() / np.sqrt(3)
    print(f"{name:9s} AUC {scores.mean():.3f} +- {error:.3f}")
    ax.errorbar(scores.mean(), name, xerr=error, fmt="o", capsize=4)
ax.set(
    xlabel="ROC AUC, three folds and their standard error",
    title="Heart disease, four hospitals",
)
ax.invert_yaxis()
plt.show()

# %%
# **Learnt:** a stack needs no choice between the two. It costs the folds of both.
