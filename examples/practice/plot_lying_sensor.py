"""
A sensor that lies
==================

A broken microphone does not send NaN, it sends noise. Who notices? Here three sensors look at handwritten digits, one
after the other. One of them breaks and comes back, another drifts away slowly. The classifier was never shown such
values. It says which sensor it does not believe, and goes on with the others.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import corrupt_modalities
from sklearn_aecf.datasets import load_handwritten
from sklearn_aecf.inspection import SensorDisplay

digits = load_handwritten()
X = MultimodalData({name: digits.data[name] for name in ("kar", "mor", "zer")})
y, test = digits.target, np.flatnonzero(digits.is_test)

clf = AECFClassifier(max_epochs=20, random_state=0).fit(
    X[~digits.is_test], y[~digits.is_test]
)
trusting = AECFClassifier(max_epochs=20, corruption_rate=0, random_state=0).fit(
    X[~digits.is_test], y[~digits.is_test]
)

# %%
# A day of the three sensors
# --------------------------
# ``mor`` dies in the second hour and sends zeros until it is replaced. ``kar`` drifts: all of its values creep up.
# ``zer`` is missing for a while, which is nothing new to a model for missing modalities.
rng = np.random.default_rng(0)
order = rng.permutation(test)
stream, truth = X[order], y[order]
n_rows = len(order)
row = np.arange(n_rows)
dead = np.zeros((n_rows, 3), dtype=bool)
dead[(row >= 80) & (row < 160), 1] = True
stream = corrupt_modalities(stream, dead, kind="dead")
drift = np.clip((row - 200) / 80, 0, 1) * (row < 300)
values = dict(stream)
values["kar"] = values["kar"] + 4 * drift[:, None] * X["kar"].std(axis=0)
values["zer"] = np.where(
    (row[:, None] >= 330) & (row[:, None] < 370), np.nan, values["zer"]
)
stream = MultimodalData(values)

minutes = np.datetime64("2025-03-01T06:00") + row.astype("timedelta64[m]")
SensorDisplay.from_estimator(clf, stream, times=minutes)
plt.show()


# %%
# What it is good for
# -------------------
# Accuracy over the last forty rows, with the same network that believes everything beside it; and to whom the gate
# listened.
def smooth(values, window=40):
    return np.convolve(values, np.full(window, 1 / window), "same") / np.convolve(
        np.ones(len(values)), np.full(window, 1 / window), "same"
    )


figure, (above, below) = plt.subplots(
    2, figsize=(9, 4.8), sharex=True, layout="constrained"
)
for name, model in (
    ("believes what is reliable", clf),
    ("believes everything", trusting),
):
    above.plot(minutes, smooth(model.predict(stream) == truth), label=name)
above.set(ylabel="accuracy", ylim=(0.6, 1.02))
above.legend(frameon=False, loc="lower left")
for name, weight in zip(clf.modality_names_, clf.gate_weights(stream).T, strict=True):
    below.plot(minutes, smooth(weight), label=name)
below.set(ylabel="gate weight", xlabel="time", ylim=(0, 0.7))
below.legend(frameon=False, ncols=3)
plt.show()

# %%
# What an alarm costs
# -------------------
# Somebody has to look when an alarm rings. A threshold on the reliability trades alarms that are missed against alarms
# for nothing. `corrupt_modalities` breaks sensors on purpose, on rows of yours, so that the trade can be seen before.
broken = rng.random((len(test), 3)) < 0.3
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for kind in ("noise", "dead", "spikes", "offset", "negated"):
    lying = corrupt_modalities(X[test], broken, kind=kind, random_state=0)
    false_alarms, found, _ = roc_curve(
        broken.ravel(), 1 - clf.modality_reliability(lying).ravel()
    )
    ax.plot(
        np.maximum(100 * false_alarms, 0.05),
        100 * found,
        label=kind,
        drawstyle="steps-post",
    )
ax.set(
    xscale="log", xlim=(0.1, 100), ylim=(0, 103), xlabel="false alarms, % of genuine values (log scale)",
    ylabel="broken sensors found, %",
)  # fmt: skip
ax.legend(frameon=False, loc="lower right", title="what breaks")
plt.show()

# %%
# **Learnt:** ``predict_proba`` needs no flag and no second call. ``modality_reliability`` says whom it believed; a
# threshold is chosen by what its false alarms cost. What mirrors genuine values is the hard case, since only the other
# sensors can tell.
