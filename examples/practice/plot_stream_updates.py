"""
A stream whose sensor drifts
============================

A model was fitted last year. Since then a sensor has been ageing, and new rows with their answers arrive every day. Is
it enough to believe the sensor less, or is it worth going on learning? Here two sensors look at handwritten digits. One
of them drifts to another level and another gain, and stays there. Each day's rows are predicted first and learnt from
afterwards, so no model has seen what it is measured on.
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import log_loss

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import load_handwritten

digits = load_handwritten()
order = np.random.default_rng(0).permutation(len(digits.target))
values = {name: digits.data[name][order] for name in ("kar", "mor")}
y = digits.target[order]
known, per_day, n_days = 500, 40, 30
day = (np.arange(len(y)) - known) // per_day

# %%
# The drift
# ---------
# From day 7 to day 14 every feature of ``kar`` moves, each by an amount of its own, and every second one shrinks and
# turns around. Then the sensor is stable again, and wrong.
drift = np.clip((day - 7) / 7, 0, 1)[:, None]
n_features = values["kar"].shape[1]
shift = 3 * values["kar"][:known].std(axis=0)
shift = shift * np.random.default_rng(1).normal(size=n_features)
gain = 1 - 1.6 * drift * (np.arange(n_features) % 2)
values["kar"] = gain * values["kar"] + drift * shift
X = MultimodalData(values)

# %%
# Two models
# ----------
# Both start from one ``fit``. One stays as it is. The other learns from each day's rows, three passes over them, as
# soon as they have been predicted.
frozen = AECFClassifier(max_epochs=20, random_state=0).fit(X[:known], y[:known])
updated = deepcopy(frozen)
models = {"as fitted": frozen, "goes on learning": updated}
accuracy = {name: [] for name in models}
listened = {name: [] for name in models}
for number in range(n_days):
    rows = np.flatnonzero(day == number)
    for name, model in models.items():
        accuracy[name].append(model.score(X[rows], y[rows]))
        listened[name].append(model.gate_weights(X[rows])[:, 0].mean())
    for _ in range(3):
        updated.partial_fit(X[rows], y[rows])


def last_days(daily, window=3):
    """Mean over the last days."""
    return [np.mean(daily[max(0, i - window + 1) : i + 1]) for i in range(len(daily))]


figure, (above, below) = plt.subplots(
    2, figsize=(8.5, 5), sharex=True, layout="constrained"
)
for name in models:
    above.plot(last_days(accuracy[name]), label=name)
    below.plot(last_days(listened[name]), label=name)
for ax in (above, below):
    ax.axvspan(7, 14, color="0.9", zorder=0)
above.text(10.5, 0.45, "the sensor drifts", ha="center", color="0.4")
above.set(ylabel="accuracy", ylim=(0.4, 1.02))
above.legend(frameon=False, loc="lower right")
below.set(xlabel="day", ylabel="gate weight of the drifting sensor", ylim=(0, 1))
plt.show()

# %%
# The model as fitted notices that ``kar`` is not what it was. It listens less to it, and lives on what the other sensor
# knows. The one that goes on learning dips, and then makes use of the sensor as it is now. ``fit`` had taught it whom
# to believe; its first update dropped that, because what was unusual may have become usual.
#
# Confidence afterwards
# ---------------------
# The temperature is still that of ``fit``, while the weights have moved. `calibrate` fits it anew, on rows that nobody
# learnt from. Here the old one has stayed good, and the loss hardly changes: nobody could have known without looking.
left = np.flatnonzero(day == n_days)[0] + np.arange(300)
to_calibrate, to_measure = left[:150], left[150:]
before = log_loss(y[to_measure], updated.predict_proba(X[to_measure]))
updated.calibrate(X[to_calibrate], y[to_calibrate])
after = log_loss(y[to_measure], updated.predict_proba(X[to_measure]))
print(f"log loss {before:.3f} with the temperature of fit, {after:.3f} with a new one")

# %%
# **Learnt:** what a sensor has become can be learnt, if answers keep coming: ``partial_fit`` on each part. Where none
# come, the reliability that ``fit`` has learnt limits the damage. ``calibrate`` now and then, and look at what it does.
