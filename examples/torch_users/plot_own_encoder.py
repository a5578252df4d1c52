"""
An encoder of your own: a CNN on images beside a table, and categories
======================================================================

Can a modality keep its shape, and be learnt by a network that suits it? ``encoders`` takes a torch module for any
modality, trained with the rest. Here small images of digits go through a CNN, and are compared with the same images as
64 numbers. Beside them stand a table of noisy row and column sums, and a category as a code. Each row lacks something.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import nn

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import drop_modalities

# %%
# The data
# --------
# An image has the shape (1, 8, 8): any shape will do behind the first axis. The category says in which third of the
# digits the label lies, and is wrong at times; its codes are integers, which cannot be NaN, so a mask says who has one.
digits, rng = load_digits(), np.random.default_rng(0)
images, y = (digits.images / 16).astype(np.float32)[:, None], digits.target
sums = np.concatenate([images[:, 0].sum(axis=1), images[:, 0].sum(axis=2)], axis=1)
table = sums + rng.normal(scale=1.0, size=sums.shape)
category = np.where(rng.random(len(y)) < 0.8, y // 4, rng.integers(0, 3, len(y)))
has_category = rng.random(len(y)) < 0.5
X = MultimodalData(
    {"image": images, "table": table, "category": category},
    present={"category": has_category},
)
X = drop_modalities(X, 0.2, random_state=0)
print(X)


# %%
# The encoders
# ------------
# An object with parameters that is called without arguments and returns a module: so its parameters can be searched
# over. A module, or any function that returns one, does as well.
class SmallCNN(BaseEstimator):
    """Two convolutions."""

    def __init__(self, channels=16):
        self.channels = channels

    def __call__(self):
        c = self.channels
        return nn.Sequential(
            nn.Conv2d(1, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 2 * c, 3, padding=1),
            nn.BatchNorm2d(2 * c), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip


encoders = {"image": SmallCNN(), "category": lambda: nn.Embedding(3, 8)}
clf = AECFClassifier(encoders=encoders, max_epochs=25, random_state=0)
train, test = train_test_split(
    np.arange(len(y)), train_size=300, test_size=600, stratify=y, random_state=0
)
clf.fit(X[train], y[train])
print(f"With a CNN:       {clf.score(X[test], y[test]):.3f}")

flat = MultimodalData({**X, "image": X["image"].reshape(len(y), -1)})
plain = AECFClassifier(
    encoders={"category": encoders["category"]}, max_epochs=25, random_state=0
)
print(
    f"Images flattened: {plain.fit(flat[train], y[train]).score(flat[test], y[test]):.3f}"
)

# %%
# Missing images are missing modalities
# -------------------------------------
# Rows without an image never reach the CNN; the others stand in. Measured on the test rows that have image and table.
cases = {
    "all there": "",
    "no image": "image",
    "no table": "table",
    "no category": "category",
}
both = test[X[test].present[:, :2].all(axis=1)]
accuracy = {"CNN": [], "flattened": []}
for missing in cases.values():
    kept = [name for name in X if name != missing]
    for name, model, given in (("CNN", clf, X), ("flattened", plain, flat)):
        accuracy[name].append(np.mean(model.predict(given[both][kept]) == y[both]))

figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for shift, (name, values) in zip((-0.2, 0.2), accuracy.items(), strict=True):
    bars = ax.bar(np.arange(4) + shift, values, width=0.38, label=name)
    ax.bar_label(bars, fmt="%.2f", fontsize=8)
ax.set(
    xticks=range(4),
    xticklabels=list(cases),
    ylabel="accuracy",
    ylim=(0, 1.2),
    yticks=np.linspace(0, 1, 6),
)
ax.set_title("Images through a CNN, and as 64 numbers")
ax.legend(frameon=False, loc="upper right", ncols=2)

# %%
# A search over the CNN
# ---------------------
search = GridSearchCV(clf, {"encoders__image__channels": [4, 16]}, cv=2).fit(
    X[train], y[train]
)
print("Best:", search.best_params_)

# %%
# **Learnt:** an encoder is a parameter like others. It is cloned, pickled, seeded and searched over, and takes
# part in all that is known about missing modalities.
