"""
The layers in a training loop of your own
=========================================

How do torch users take the method without the estimator? `AECFNetwork`'s forward is the whole model; ``masking`` draws
what to hide, ``losses`` holds the terms. This is the paper's objective in thirty lines: prediction from a masked copy,
the entropy of the gate, and confidence that must not grow as modalities are hidden.
"""

import matplotlib.pyplot as plt
import torch

from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.losses import (
    entropy_coefficient,
    monotone_loss,
    multiclass_confidence,
    multiclass_loss,
    normalized_entropy,
    uncertainty,
)
from sklearn_aecf.masking import EntropyMasking
from sklearn_aecf.nn import AECFNetwork

torch.manual_seed(0)
X, y = make_multimodal_classification(
    600, n_classes=3, missing_rate=0.2, random_state=0
)
present = torch.from_numpy(X.present)
# What stands in rows without a modality has no influence, NaN included.
inputs = [torch.from_numpy(X[name]).float() for name in X]
target = torch.from_numpy(y)
present[~present.any(dim=1), 0] = True
inputs[0] = inputs[0].nan_to_num(0)

network = AECFNetwork([x.shape[1] for x in inputs], n_outputs=3, n_members=1)
masking = EntropyMasking(rate=0.5)
state = masking.initial_state(len(inputs))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)


def draw(present, weights, entropy, n_draws):
    """Subsets to predict from, drawn by the gate's own entropy."""
    return masking.draw(present, weights, entropy, n_draws, state)


# %%
# One forward gives all that the terms need: logits from all that a row has and from its subset, weights and entropies.
curve = []
for _ in range(30):
    total = 0.0
    for rows in torch.randperm(600).split(64):
        output = network(
            [x[rows] for x in inputs], present[rows], draw=draw, n_samples=8
        )
        expert = torch.softmax(output["logits"][0, 0], dim=1)
        smaller = torch.softmax(output["masked_logits"][0], dim=1)
        coefficient = entropy_coefficient(
            uncertainty(torch.softmax(output["samples"], dim=-1))
        )
        loss = (
            multiclass_loss(output["masked_logits"][0], target[rows])
            - 0.05
            * coefficient
            * normalized_entropy(output["entropy"][:, 0], present[rows])
            + monotone_loss(
                multiclass_confidence(smaller), multiclass_confidence(expert)
            )
        )
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        total += loss.detach().sum().item()
    curve.append(total / len(target))

network.eval()
with torch.no_grad():
    output = network(inputs, present)
print(
    "Accuracy on the training rows:",
    (output["logits"][0, 0].argmax(dim=1) == target).float().mean().item(),
)
print("Mean weights:", output["weights"][:, 0].mean(dim=0).tolist())
figure, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
ax.plot(range(1, len(curve) + 1), curve)
ax.set(xlabel="epoch", ylabel="objective", title="A loop of one's own")
plt.show()

# %%
# **Learnt:** ``forward`` takes ``draw`` where a view depends on the gate, and returns a dict of tensors.
