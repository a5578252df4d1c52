"""
A DataFrame with a text column
==============================

How does a note in words join numbers and categories? Some of each are missing. The frame goes in as it is.
``modalities`` says which columns belong together, and each modality gets its own transformer.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_aecf import AECFClassifier
from sklearn_aecf.compose import ModalityTransformer

rng = np.random.default_rng(0)
n_rows = 600
ill = rng.integers(0, 2, n_rows)
words = {
    0: ["stable", "no complaints", "walks well"],
    1: ["chest pain", "short of breath", "dizzy"],
}
frame = pd.DataFrame(
    {
        "sodium": 140 + rng.normal(size=n_rows) - ill,
        "potassium": 4 + 0.3 * rng.normal(size=n_rows) + 0.2 * ill,
        "ward": rng.choice(["A", "B", "C"], n_rows),
        "note": [
            f"{rng.choice(words[i])}, {rng.choice(words[rng.integers(0, 2)])}"
            for i in ill
        ],
    }
)
frame.loc[rng.random(n_rows) < 0.3, "note"] = None  # nobody wrote a note
frame.loc[rng.random(n_rows) < 0.2, ["sodium", "potassium"]] = np.nan  # no blood test
frame.loc[rng.random(n_rows) < 0.1, "sodium"] = np.nan  # a gap inside the blood test

# %%
model = make_pipeline(
    ModalityTransformer(
        {
            "note": make_pipeline(TfidfVectorizer(), TruncatedSVD(5, random_state=0)),
            "labs": SimpleImputer(),
            "ward": OneHotEncoder(sparse_output=False),
        },
        modalities={"note": "note", "labs": ["sodium", "potassium"], "ward": ["ward"]},
    ),
    AECFClassifier(random_state=0),
)
train, test, y_train, y_test = train_test_split(frame, ill, random_state=0)
model.fit(train, y_train)
print(f"Accuracy: {model.score(test, y_test):.3f}")
print(f"The same without notes: {model.score(test.drop(columns='note'), y_test):.3f}")

# %%
# Who was listened to, row by row
# -------------------------------
# A note that nobody wrote has weight 0, and the others share its weight.
weights = model[-1].gate_weights(model[:-1].transform(test))
has_note = test["note"].notna().to_numpy()
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for shift, rows, label in (
    (-0.2, has_note, "with a note"),
    (0.2, ~has_note, "without"),
):
    ax.bar(np.arange(3) + shift, weights[rows].mean(axis=0), width=0.38, label=label)
ax.set(
    xticks=range(3),
    xticklabels=model[-1].modality_names_,
    ylabel="mean gate weight",
    title="Notes, labs and wards",
)
ax.legend(frameon=False)
plt.show()

# %%
# **Learnt:** text becomes features inside the pipeline, and a missing note stays missing.
