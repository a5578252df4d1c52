"""What speed is compared with: a hand-written torch loop, skorch's default, scikit-learn's network, a backbone."""

import time

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sklearn_aecf import AECFClassifier

PLAIN = {"n_members": 1, "entropy_weight": 0, "agreement_weight": 0, "masking": None, "corruption_rate": 0}
UNSTOPPED = {"early_stopping": False, "temperature": None, "random_state": 0}
VIEWS = [240, 76, 216, 47, 64, 6]

# Name to rows, features of each modality, width, outputs (80 are labels), batch size.
SIZES = {
    "60,000 x 2 x 512, d 512, 80 labels": (60_000, [512, 512], 512, 80, 512),
    "2,000 x 6 views, d 256, 10 classes": (2_000, VIEWS, 256, 10, 128),
    "2,000 x 6 views, d 64, 10 classes": (2_000, VIEWS, 64, 10, 128),
}


def made(n_rows, widths, n_outputs, seed=0):
    rng = np.random.default_rng(seed)
    X = {f"m{i}": rng.standard_normal((n_rows, width), dtype=np.float32) for i, width in enumerate(widths)}
    several = n_outputs == 80
    y = (rng.random((n_rows, 80)) < 0.05).astype(np.float32) if several else rng.permutation(n_rows) % n_outputs
    return X, y


def interleaved(competitors, repeats):
    """Median of the seconds that each callable reports (a number or several), taking turns."""
    seconds = {name: [] for name in competitors}
    for _ in range(repeats):
        for name, run in competitors.items():
            seconds[name] += list(np.atleast_1d(run()))
    return {name: float(np.median(values)) for name, values in seconds.items()}


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Stamps(Callback):
    """When each epoch began."""

    def on_train_begin(self, net, **kwargs):
        self.times = []

    def on_epoch_begin(self, net, **kwargs):
        synchronise(net.device)
        self.times.append(time.perf_counter())

    def on_train_end(self, net, **kwargs):
        synchronise(net.device)
        self.times.append(time.perf_counter())


def synchronise(device):
    if str(device).startswith("cuda"):
        torch.cuda.synchronize()


# Competitors in training: each returns the seconds of its epochs but the first.


def aecf_epochs(X, y, size, n_epochs, device="cpu", **settings):
    _, _, width, _, batch_size = size
    stamps = Stamps()
    AECFClassifier(
        embed_dim=width, hidden_dim=width, batch_size=batch_size, max_epochs=n_epochs, callbacks=[stamps],
        device=device, **UNSTOPPED, **settings,
    ).fit(X, y)  # fmt: skip
    return np.diff(stamps.times)[1:]


class PlainGatedFusion(nn.Module):
    """What one would write by hand for plain gated fusion."""

    def __init__(self, widths, width, n_outputs, fuse=None):
        super().__init__()
        self.embeddings = nn.ModuleList(
            nn.Sequential(nn.Linear(n, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, width))
            for n in widths
        )
        self.gate = nn.Sequential(nn.Linear(len(widths) * (width + 1), 32), nn.ReLU(), nn.Linear(32, len(widths)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, n_outputs))
        self.fuse = fuse

    def forward(self, inputs, present):
        embedded = torch.stack([embed(x) for embed, x in zip(self.embeddings, inputs, strict=True)], dim=1)
        embedded = embedded * present[..., None]
        if self.fuse is not None:
            return self.head(self.fuse(embedded, present))
        flat = torch.cat([embedded.flatten(1), present.float()], dim=1)
        weights = self.gate(flat).masked_fill(~present, -torch.inf).softmax(dim=-1)
        return self.head((weights[:, None] @ embedded)[:, 0])


class AuthorsPool(nn.Module):
    """The layer of ``pip install aecf==0.1.0``."""

    def __init__(self, n_modalities, width):
        super().__init__()
        from aecf import create_fusion_pool

        self.query, self.pool = create_fusion_pool(width, n_modalities)

    def forward(self, embedded, present):
        query = self.query.expand(len(embedded), -1, -1)
        return self.pool(query, embedded, key_padding_mask=~present, return_info=True)[0][:, 0]


def loss_of(logits, target):
    if target.dim() == 2:
        return F.binary_cross_entropy_with_logits(logits, target)
    return F.cross_entropy(logits, target)


def loop_epochs(X, y, size, n_epochs, device="cpu", authors=False):
    n_rows, widths, width, n_outputs, batch_size = size
    torch.manual_seed(0)
    fuse = AuthorsPool(len(widths), width) if authors else None
    net = PlainGatedFusion(widths, width, n_outputs, fuse).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    inputs = [torch.from_numpy(x).to(device) for x in X.values()]
    target = torch.from_numpy(y).to(device)
    present = torch.ones(n_rows, len(widths), dtype=torch.bool, device=device)

    def epoch():
        order = torch.randperm(n_rows, device=device)
        losses = []
        for rows in order.split(batch_size):
            loss = loss_of(net([x[rows] for x in inputs], present[rows]), target[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.stack(losses).mean().item()

    return [timed(epoch) for _ in range(n_epochs)][1:]


class SkorchModule(PlainGatedFusion):
    def forward(self, **inputs):
        x = list(inputs.values())
        return super().forward(x, torch.ones(len(x[0]), len(x), dtype=torch.bool, device=x[0].device))


def skorch_net(size, n_epochs, callbacks=None):
    _, widths, width, n_outputs, batch_size = size
    return NeuralNet(
        SkorchModule, module__widths=widths, module__width=width, module__n_outputs=n_outputs,
        criterion=nn.BCEWithLogitsLoss if n_outputs == 80 else nn.CrossEntropyLoss, optimizer=torch.optim.AdamW,
        batch_size=batch_size, max_epochs=n_epochs, train_split=None, verbose=0, callbacks=callbacks,
        iterator_train__shuffle=True,
    )  # fmt: skip


def skorch_epochs(X, y, size, n_epochs):
    stamps = Stamps()
    skorch_net(size, n_epochs, [stamps]).fit(X, y)
    return np.diff(stamps.times)[1:]


def mlp_epochs(X, y, size, n_epochs):
    _, _, width, _, batch_size = size
    table = np.concatenate(list(X.values()), axis=1)
    make = lambda n: MLPClassifier((width, width), batch_size=batch_size, max_iter=n, n_iter_no_change=n)  # noqa: E731
    one, several = timed(lambda: make(1).fit(table, y)), timed(lambda: make(n_epochs).fit(table, y))
    return [(several - one) / (n_epochs - 1)]


class Bottleneck(nn.Module):
    def __init__(self, n_in, n_mid, stride):
        super().__init__()
        n_out = 4 * n_mid
        layers = [(n_in, n_mid, 1, 1), (n_mid, n_mid, 3, stride), (n_mid, n_out, 1, 1)]
        self.body = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(a, b, k, s, k // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                for a, b, k, s in layers
            ]
        )
        self.short = nn.Identity() if n_in == n_out and stride == 1 else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x):
        return self.body(x) + self.short(x)


def resnet50():
    """As many layers, channels and multiplications as ResNet-50 (He et al., 2016); the weights do not matter here."""
    layers, n_in = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, (n_blocks, n_mid) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(n_blocks):
            layers.append(Bottleneck(n_in, n_mid, 2 if block == 0 and stage > 0 else 1))
            n_in = 4 * n_mid
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


class ConcatenationHead(nn.Module):
    """The same embeddings, side by side into a layer of equal width."""

    def __init__(self, embeddings, width, n_outputs):
        super().__init__()
        self.embeddings = embeddings
        self.head = nn.Sequential(
            nn.Linear(len(embeddings.first) * width, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, n_outputs)
        )

    def forward(self, inputs):
        return self.head(self.embeddings(inputs).flatten(1))
