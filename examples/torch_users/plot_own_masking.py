"""
A masking rule of your own
==========================

What if chance is not how your modalities go missing? ``masking`` takes an object that says which modalities are hidden
in training. Here a whole device fails: two of three modalities hang on it, and vanish together. A rule of a dozen lines
trains for that, and is compared with chance on test rows where the device failed.
"""

import matplotlib.pyplot as plt
import torch

from sklearn_aecf import AECFClassifier
from sklearn_aecf.compose import hide
from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.masking import Masking, UniformMasking

X, y = make_multimodal_classification(
    1500, n_classes=4, informativeness=[3, 3, 1], random_state=0
)
X_train, y_train, X_test, y_test = X[:1000], y[:1000], X[1000:], y[1000:]


# %%
# The rule
# --------
# ``draw`` gets which modalities each row has, the gate's weights and their entropy. It returns a subset for each
# member of the ensemble. Parameters of ``__init__`` can be set and searched over: ``masking__rate``.
class DeviceFails(Masking):
    """Hide the first two modalities together."""

    def __init__(self, rate=0.5):
        self.rate = rate

    def draw(self, present, weights, entropy, n_draws, state):
        device = torch.tensor([True, True, False], device=present.device)
        fails = torch.rand(len(present), n_draws, 1, device=present.device) < self.rate
        kept = present[:, None] & ~(fails & device)
        # A row must keep something.
        return torch.where(kept.any(dim=-1, keepdim=True), kept, present[:, None])


failed = hide(X_test, ["a", "b"])
figure, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
for shift, rule in ((-0.2, UniformMasking(rate=0.5)), (0.2, DeviceFails(rate=0.5))):
    clf = AECFClassifier(masking=rule, max_epochs=20, random_state=0).fit(
        X_train, y_train
    )
    scores = [clf.score(X_test, y_test), clf.score(failed, y_test)]
    ax.bar_label(
        ax.bar([shift, 1 + shift], scores, width=0.38, label=type(rule).__name__),
        fmt="%.3f",
        fontsize=8,
    )
ax.set(
    xticks=[0, 1],
    xticklabels=["all there", "device failed"],
    ylabel="accuracy",
    ylim=(0, 1.15),
)
ax.legend(frameon=False, loc="upper right")

# %%
# **Learnt:** a rule is one class with one method. `RegretMasking` shows how a rule learns while it is used.
