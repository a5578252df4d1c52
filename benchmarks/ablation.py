"""Each mechanism of AECF switched off or varied, measured on rows held out of the training rows.

    python benchmarks/ablation.py --data-dir DIR [--datasets avmnist ...] [--seeds 3] [--variants "no masking" ...]

Writes one row a data set, split, variant, seed and drop rate; a second run goes on where the first stopped. No test row
is touched: defaults may be chosen from this table. Variants differ in one thing from `AECFClassifier()` with
adaptive masking and an entropy weight of 0.02: what the defaults were before this table.
"""

import argparse
import copy
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from baselines import validated_on_complete_rows
from protocol import RATES, at_drop_rate, fit
from records import Results
from skorch.callbacks import Callback, LRScheduler
from tasks import NAMES, tasks
from tqdm import tqdm

from sklearn_aecf import AECFClassifier, _classifier
from sklearn_aecf._training import _objective
from sklearn_aecf.losses import entropy_coefficient, monotone_loss, prediction_loss
from sklearn_aecf.nn import _fusion, _network

MAX_TRAIN = 3000
BASE = "every mechanism on"
BEFORE = {"masking": "entropy", "entropy_weight": 0.02}


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


def _own_vector_a_modality():
    """Members that adapt each modality's embedding, not the fused one."""
    original = _network.AECFNetwork.__init__

    def init(self, **arguments):
        original(self, **arguments)
        members, d = self.heads.scale.shape
        self.fusion.own = torch.nn.Parameter(1 + 0.5 * torch.randn(members, len(arguments["n_features"]), d))
        self.heads.scale = torch.nn.Parameter(torch.ones(members, d), requires_grad=False)

    def combine(self, embeddings, weights, present):
        if weights.shape[1] == 1 or not self.training:
            return torch.einsum("bvm,kmd,bmd->bvkd", weights, self.own, embeddings).flatten(1, 2)
        return torch.einsum("bkm,kmd,bmd->bkd", weights, self.own, embeddings)

    def every_member(self, fused):
        rows, d = len(fused), fused.shape[-1]
        logits = self(fused.reshape(-1, self.n_members, d))
        return logits.view(self.n_members, rows, -1, logits.shape[-1]).permute(2, 0, 1, 3)

    return [
        patch.object(_network.AECFNetwork, "__init__", init),
        patch.object(_fusion.AECFFusion, "combine", combine),
        patch.object(_network.MemberHeads, "every_member", every_member),
    ]


def _members_start(draw):
    original = _network.MemberHeads.__init__

    def init(self, *arguments):
        original(self, *arguments)
        with torch.no_grad():
            self.scale.copy_(draw(self.scale))

    return [patch.object(_network.MemberHeads, "__init__", init)]


def _residual_block():
    """z + a hidden layer of z, before the members."""
    init_network, fuse = _network.AECFNetwork.__init__, _fusion.AECFFusion.combine

    def init(self, **arguments):
        init_network(self, **arguments)
        d = self.heads.weight.shape[1]
        self.fusion.block = torch.nn.Sequential(
            torch.nn.LayerNorm(d), torch.nn.Linear(d, 2 * d), torch.nn.ReLU(), torch.nn.Linear(2 * d, d)
        )

    def combine(self, embeddings, weights, present):
        fused = fuse(self, embeddings, weights, present)
        return fused + self.block(fused)

    return [
        patch.object(_network.AECFNetwork, "__init__", init),
        patch.object(_fusion.AECFFusion, "combine", combine),
    ]


def _embedding(phi):
    def replacement(self, hidden, weight, bias):
        return self.dropout(phi(hidden))

    return [patch.object(_network.ModalityEmbeddings, "_phi", replacement)]


def _smoothed(logits, target, kind, label_weight=None, amount=0.1):
    if kind == "multilabel":
        return prediction_loss(logits, target * (1 - amount) + amount / 2, kind, label_weight)
    log_p = torch.log_softmax(logits, dim=-1)
    return (1 - amount) * prediction_loss(logits, target, kind) - amount * log_p.mean(dim=-1)


def _lambda(**chosen):
    def coefficient(spread, *, scale, weight, lambda_max):
        return entropy_coefficient(spread, **{"weight": weight, "lambda_max": lambda_max, **chosen})

    return [patch.object(_objective, "entropy_coefficient", coefficient)]


def _constant_gate():
    softmax = _fusion.masked_softmax
    return [patch.object(_fusion, "masked_softmax", lambda scores, present: softmax(torch.zeros_like(scores), present))]


def _plain_loss_stops():
    make = _classifier.make_net
    return [patch.object(_classifier, "make_net", lambda **given: make(**{**given, "stopping_loss": "valid_loss"}))]


def _one_mask_rate():
    return [patch.object(_objective, "row_rates", lambda rate, n_rows, device: torch.full((n_rows, 1), rate))]


def _callback(make):
    return lambda: {"callbacks": [make()]}


def _cosine():
    return LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=100)


# Name to parameters (or what makes them), and to patches of the package.
VARIANTS = {
    BASE: ({}, list),
    "members 1": ({"n_members": 1}, list),
    "members 4": ({"n_members": 4}, list),
    "members 16": ({"n_members": 16}, list),
    "members 32": ({"n_members": 32}, list),
    "members adapt each modality": ({}, _own_vector_a_modality),
    "members start with random signs": ({}, lambda: _members_start(lambda s: (s > 1).to(s) * 2 - 1)),
    "no masking": ({"masking": None}, list),
    "masking uniform (default)": ({"masking": "uniform"}, list),
    "masking regret": ({"masking": "regret"}, list),
    "mask rate 0.3": ({"mask_rate": 0.3}, list),
    "one mask rate for all rows": ({}, _one_mask_rate),
    "warm-up over 20 epochs": ({"mask_warmup": 0.2}, list),
    "complete rows weigh 1": ({"complete_weight": 1.0}, list),
    "no entropy term": ({"entropy_weight": 0}, list),
    "entropy weight 0.2 (default)": ({"entropy_weight": 0.2}, list),
    "entropy weight 1": ({"entropy_weight": 1.0}, list),
    "entropy constant": ({}, lambda: _lambda(scale=1.0)),
    "entropy of the paper": ({}, lambda: _lambda(scale=1.0, weight=1.0, lambda_max=1.0)),
    "no CEC": ({"cec_weight": 0}, list),
    "CEC weight 1": ({"cec_weight": 1.0}, list),
    "CEC with the monotone term": ({"monotone_weight": 1.0}, list),
    "CEC monotone only": (
        {},
        lambda: [patch.object(_objective, "cec_loss", lambda s, e, k, *_: monotone_loss(s, e, k))],
    ),
    "stop on the plain loss": ({}, _plain_loss_stops),
    "stop on complete rows": ({}, lambda: [validated_on_complete_rows()]),
    "temperature global": ({"temperature": "global"}, list),
    "no temperature, stop on the plain loss": ({"temperature": None}, list),
    "constant gate": ({}, _constant_gate),
    "exponent 0.5": ({"fusion_exponent": 0.5}, list),
    "exponent 1": ({"fusion_exponent": 1.0}, list),
    "exponent learned": ({"fusion_exponent": "learned"}, list),
    "embedding without LayerNorm": ({}, lambda: _embedding(torch.relu)),
    "embedding linear": ({}, lambda: _embedding(torch.nn.Identity())),
    "residual block": ({}, _residual_block),
    "dropout 0.1": ({"dropout": 0.1}, list),
    "dropout 0.3": ({"dropout": 0.3}, list),
    "label smoothing 0.1": ({}, lambda: [patch.object(_objective, "prediction_loss", _smoothed)]),
    "mean of 5 epochs": (_callback(AverageOfEpochs), list),
    "cosine schedule": (_callback(_cosine), list),
    "learning rate 5e-4": ({"learning_rate": 5e-4}, list),
    "learning rate 2e-3": ({"learning_rate": 2e-3}, list),
    "weight decay 0.1": ({"weight_decay": 0.1}, list),
    "batch 32": ({"batch_size": 32}, list),
    "batch 512": ({"batch_size": 512}, list),
    "width 64": ({"embed_dim": 64, "hidden_dim": 128}, list),
    "width 256": ({"embed_dim": 256, "hidden_dim": 512}, list),
}


def run(data, seed, variants, results, arguments):
    for task in tasks(data, seed, arguments.data_dir, on="validation", max_train=arguments.max_train):
        for name in variants:
            if (data, task.part, name, str(seed)) in results:
                continue
            settings, patches = VARIANTS[name]
            with ExitStack() as stack:
                for each in patches():
                    stack.enter_context(each)
                chosen = settings() if callable(settings) else settings
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
