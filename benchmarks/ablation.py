"""Each mechanism of AECF switched off or varied, measured on rows held out of the training rows.

    python benchmarks/ablation.py --data-dir DIR [--datasets avmnist ...] [--seeds 3] [--variants "no masking" ...]

Writes one row a data set, split, variant, seed and drop rate; a second run goes on where the first stopped. No test row
is touched: defaults may be chosen from this table. Variants differ in one thing from `AECFClassifier()` with
adaptive masking and an entropy weight of 0.02: what the defaults were before this table.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from baselines import LONGER, stop_on
from protocol import RATES, at_drop_rate, fit
from records import Results
from skorch.callbacks import Callback, LRScheduler
from tasks import NAMES, tasks
from tqdm import tqdm

from sklearn_aecf import AECFClassifier
from sklearn_aecf.masking import Masking, draw_subsets
from sklearn_aecf.nn import AECFFusion, AECFNetwork, ModalityEmbeddings, ModalityGate

MAX_TRAIN = 3000
BASE = "every mechanism on"
BEFORE = {"masking": "entropy", "entropy_weight": 0.02, **LONGER}


class AverageOfEpochs(Callback):
    """The mean of the weights of the epochs up to the best one."""

    def __init__(self, n_epochs=5):
        self.n_epochs = n_epochs

    def on_train_begin(self, net, **kwargs):
        self.states = []

    def on_epoch_end(self, net, **kwargs):
        self.states.append(copy.deepcopy(net.module_.state_dict()))

    def on_train_end(self, net, **kwargs):
        best = net.kept_epoch()
        chosen = self.states[max(0, best - self.n_epochs) : best]
        net.module_.load_state_dict({name: torch.stack([s[name] for s in chosen]).mean(dim=0) for name in chosen[0]})


class WarmUp(Callback):
    """A mask rate that rises from 0 over the first epochs."""

    def __init__(self, n_epochs=20):
        self.n_epochs = n_epochs

    def on_train_begin(self, net, **kwargs):
        self.rate = net.criterion_.masking.rate

    def on_epoch_begin(self, net, **kwargs):
        net.criterion_.masking.rate = self.rate * min(1, len(net.history) / self.n_epochs)


class OneRate(Masking):
    """One mask rate for all rows."""

    def __init__(self, rate=0.5):
        self.rate = rate

    def draw(self, present, weights, entropy, n_draws, state):
        return draw_subsets(present, self.rate * present.float(), n_draws)


class RandomSigns(AECFNetwork):
    """Members that start apart: their factors are 1 or -1."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        with torch.no_grad():
            self.heads.scale.copy_((self.heads.scale > 1).to(self.heads.scale) * 2 - 1)


class ResidualFusion(AECFFusion):
    """z + a hidden layer of z, before the members."""

    def __init__(self, n_modalities, embed_dim):
        super().__init__(n_modalities, embed_dim)
        self.block = torch.nn.Sequential(
            torch.nn.LayerNorm(embed_dim),
            torch.nn.Linear(embed_dim, 2 * embed_dim),
            torch.nn.ReLU(),
            torch.nn.Linear(2 * embed_dim, embed_dim),
        )

    def combine(self, embeddings, weights):
        fused = super().combine(embeddings, weights)
        return fused + self.block(fused)


class EvenGate(ModalityGate):
    """The same weight for all that a row has."""

    def weigh(self, evidence, present):
        size = present.sum(dim=-1, keepdim=True).clamp(min=1)
        return present / size, size[..., 0].to(evidence.dtype).log()


class WithoutNorm(ModalityEmbeddings):
    """ReLU and dropout alone."""

    def phi(self, hidden):
        return self.dropout(torch.relu(hidden))


class Linear(ModalityEmbeddings):
    """Dropout alone: two linear maps."""

    def phi(self, hidden):
        return self.dropout(hidden)


class VariedNetwork(AECFNetwork):
    """The network with one of its parts replaced; subclasses say which."""

    fusion_type, gate_type, embeddings_type = None, None, None

    def __init__(self, n_features, *args, embed_dim=128, hidden_dim=256, dropout=0.5, **kwargs):
        super().__init__(n_features, *args, embed_dim=embed_dim, hidden_dim=hidden_dim, dropout=dropout, **kwargs)
        if self.fusion_type is not None:
            self.fusion = self.fusion_type(len(n_features), embed_dim)
        if self.gate_type is not None:
            self.fusion.gate = self.gate_type(len(n_features), embed_dim)
        if self.embeddings_type is not None:
            self.encoders.embeddings = self.embeddings_type(n_features, hidden_dim, embed_dim, dropout)


def varied(**parts):
    """A network class with other parts."""
    return type("VariedNetwork", (VariedNetwork,), parts)


def _callback(make):
    return lambda: {"callbacks": [make()]}


def _cosine():
    return LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=100)


# Name to parameters, or what makes them.
VARIANTS = {
    BASE: {},
    "members 1": {"n_members": 1},
    "members 4": {"n_members": 4},
    "members 16": {"n_members": 16},
    "members 32": {"n_members": 32},
    "members start with random signs": {"network": RandomSigns},
    "no masking": {"masking": None},
    "masking uniform (default)": {"masking": "uniform"},
    "masking regret": {"masking": "regret"},
    "mask rate 0.3": {"mask_rate": 0.3},
    "one mask rate for all rows": {"masking": OneRate()},
    "warm-up over 20 epochs": _callback(WarmUp),
    "no entropy term": {"entropy_weight": 0},
    "entropy weight 0.2 (default)": {"entropy_weight": 0.2},
    "entropy weight 1": {"entropy_weight": 1.0},
    "entropy constant": {"entropy_scale": 1.0},
    "entropy of the paper": {"entropy_scale": 1.0, "entropy_weight": 1.0},
    "no CEC": {"agreement_weight": 0},
    "CEC weight 1": {"agreement_weight": 1.0},
    "CEC with the monotone term": {"monotone_weight": 0.3},
    "CEC monotone only": {"agreement_weight": 0, "monotone_weight": 0.3},
    "stop on the plain loss": lambda: {"callbacks": [stop_on("valid_loss")]},
    "stop on complete rows": lambda: {"callbacks": [stop_on("valid_complete_loss")]},
    "temperature global": {"temperature": "global"},
    "no temperature, stop on the plain loss": {"temperature": None},
    "constant gate": {"network": varied(gate_type=EvenGate)},
    "embedding without LayerNorm": {"network": varied(embeddings_type=WithoutNorm)},
    "embedding linear": {"network": varied(embeddings_type=Linear)},
    "residual block": {"network": varied(fusion_type=ResidualFusion)},
    "dropout 0.1": {"dropout": 0.1},
    "dropout 0.3": {"dropout": 0.3},
    "mean of 5 epochs": _callback(AverageOfEpochs),
    "cosine schedule": _callback(_cosine),
    "learning rate 5e-4": {"learning_rate": 5e-4},
    "learning rate 2e-3": {"learning_rate": 2e-3},
    "weight decay 0.1": {"weight_decay": 0.1},
    "batch 32": {"batch_size": 32},
    "batch 512": {"batch_size": 512},
    "width 64": {"embed_dim": 64, "hidden_dim": 128},
    "width 256": {"embed_dim": 256, "hidden_dim": 512},
    "not standardised": {"scale": None},
    "gap indicators": {"add_gap_indicator": True},
}


def run(data, seed, variants, results, arguments):
    for task in tasks(data, seed, arguments.data_dir, on="validation", max_train=arguments.max_train):
        for name in variants:
            if (data, task.part, name, str(seed)) in results:
                continue
            chosen = VARIANTS[name]() if callable(VARIANTS[name]) else VARIANTS[name]
            model = AECFClassifier(**{**BEFORE, **chosen})
            seconds = fit(model, task, seed)
            shared = {"data": data, "part": task.part, "model": name, "seed": seed, "n_iter": model.n_iter_}
            shared |= {"fit_seconds": f"{seconds:.2f}", **_gate(model, task.X_test)}
            rows = []
            for rate in RATES:
                found = at_drop_rate(model, task.X_test, task.y_test, rate, seed)
                rows.append({**shared, "drop_rate": rate, **{key: f"{value:.5f}" for key, value in found.items()}})
            results.add([{key: str(value) for key, value in row.items()} for row in rows])
            yield name


def _gate(model, X):
    """Mean normalised entropy of the gate, and its standard deviation between rows."""
    size = X.present.sum(axis=1)
    weights = model.gate_weights(X)[size > 1]
    entropy = -np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-30)), 0).sum(axis=1)
    normalised = entropy / np.log(size[size > 1])
    return {"gate_entropy": f"{normalised.mean():.5f}", "gate_entropy_std": f"{normalised.std():.5f}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--datasets", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-train", type=int, default=MAX_TRAIN)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "ablation.csv")
    arguments = parser.parse_args()
    results = Results(arguments.output, ("gate_entropy", "gate_entropy_std", "n_iter", "fit_seconds"))
    progress = tqdm([(data, seed) for seed in range(arguments.seeds) for data in arguments.datasets])
    for data, seed in progress:
        for variant in run(data, seed, arguments.variants, results, arguments):
            progress.set_postfix_str(f"{data} {variant}")


if __name__ == "__main__":
    main()
