"""The whole network: encoders, gated fusion and heads. Its `forward` is the model."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._encoders import ModalityEncoders, OwnEncoder
from sklearn_aecf.nn._fusion import AECFFusion
from sklearn_aecf.nn._heads import MemberHeads
from sklearn_aecf.nn._reliability import FIRST_FLOOR, ModalityReliability

# From the presence of the modalities, the gate's weights and their entropy, and the number of draws to subsets.
Draw = Callable[[Tensor, Tensor, Tensor, int], Tensor]


class AECFNetwork(nn.Module):
    """Encoders, gated fusion and heads: the network that `AECFClassifier` trains.

    Training, prediction, explanation and export call `forward`, and nothing inside. So a forward hook, and a subclass
    that overrides `forward` and returns the same names, are honoured everywhere (``AECFClassifier(network=...)``).

    Parameters
    ----------
    n_features : list of int
        Features of each modality; not used where it has an encoder of its own.
    n_outputs : int
        Classes or labels.
    embed_dim : int, default=128
        Width of a modality's embedding.
    hidden_dim : int, default=256
        Width of the layer before it.
    dropout : float, default=0.5
        Rate in [0, 1) in the embeddings and before the heads.
    n_members : int, default=8
        See `MemberHeads`.
    encoders : mapping of int to OwnEncoder, optional
        Encoders of the user's, by position of the modality.

    Attributes
    ----------
    reliability : ModalityReliability or None
        What tells broken modalities from genuine ones, learnt after the rest; None listens to all alike.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import AECFNetwork
    >>> network = AECFNetwork([10, 6], n_outputs=3, n_members=4)
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> output = network([torch.randn(2, 10), torch.randn(2, 6)], present)
    >>> output["logits"].shape                                      # views, members, rows, classes
    torch.Size([1, 4, 2, 3])
    >>> output["weights"][1, 0].tolist()                            # the second row has no second modality
    [1.0, 0.0]
    """

    def __init__(
        self,
        n_features: list[int],
        n_outputs: int,
        embed_dim: int = 128,
        hidden_dim: int = 256,
        dropout: float = 0.5,
        n_members: int = 8,
        encoders: Mapping[int, OwnEncoder] | None = None,
    ):
        super().__init__()
        self.encoders = ModalityEncoders(n_features, hidden_dim, embed_dim, dropout, encoders or {})
        self.fusion = AECFFusion(len(n_features), embed_dim)
        self.heads = MemberHeads(embed_dim, n_outputs, n_members, dropout)
        self.reliability: ModalityReliability | None = None
        self.register_load_state_dict_pre_hook(_make_reliability)

    def forward(
        self,
        inputs: list[Tensor],
        present: Tensor,
        views: Tensor | None = None,
        draw: Draw | None = None,
        n_samples: int = 0,
    ) -> dict[str, Tensor]:
        """Everything that is computed from some rows.

        Parameters
        ----------
        inputs : list of Tensor of shape (b, f_m), or (b, ...) for an encoder of the user's
            What stands in rows without the modality, NaN included, has no influence.
        present : bool Tensor of shape (b, m)
            What each row has. At least one True a row is expected, but not checked here, because that would
            synchronise a GPU; `AECFClassifier` sees to it. A row without one gets weights of 0.
        views : bool Tensor of shape (b, v, m), optional
            Subsets of `present` to predict from; by default `present` itself, one view.
        draw : callable, optional
            Called as ``draw(present, weights, entropy, n_members)`` with the gate's weights (b, m) and entropy (b,) on
            the first view; returns subsets (b, k, m), of which each member predicts from its own. With it the
            predictions from `views` are a teacher's: no gradient flows through them.
        n_samples : int, default=0
            With one member: stochastic passes of the heads' dropout, for the uncertainty.

        Returns
        -------
        dict of str to Tensor
            ``logits`` (v, k, b, c) of every member on every view; ``weights`` (b, v, m), exactly 0 where absent;
            ``entropy`` (b, v) of the weights, in nats; ``fused`` (b, v, d), the fused embeddings; ``embeddings``
            (b, m, d). With a ``reliability``, outside of training, ``reliability`` and ``trust`` (b, v, m). With `draw`
            ``subsets`` (b, k, m) and ``masked_logits`` (k, b, c). With `n_samples` and one member ``samples``
            (n_samples, b, c) on the first view.
        """
        views = present[:, None] if views is None else views
        embeddings = self.encoders(inputs, present)
        # What a modality adds to the gate and to the sum is computed once; each further view is a masked sum of it.
        evidence = self.fusion.gate.evidence(embeddings)
        output, trust = {"embeddings": embeddings}, None
        if self.reliability is not None and not self.training:
            output["reliability"], trust = self.reliability(inputs, embeddings, present, views)
            output["trust"] = trust
        weights, entropy = self.fusion.gate.weigh(evidence, views, trust)
        output |= {"weights": weights, "entropy": entropy}
        if draw is None:
            output |= self._predict(embeddings, weights, n_samples)
            return output
        with torch.no_grad():
            output |= self._predict(embeddings, weights, n_samples)
            subsets = draw(present, weights[:, 0], entropy[:, 0], self.heads.n_members)
        subset_weights, _ = self.fusion.gate.weigh(evidence, subsets)
        output["subsets"] = subsets
        output["masked_logits"] = self.heads(self.fusion.combine(embeddings, subset_weights))
        return output

    def _predict(self, embeddings: Tensor, weights: Tensor, n_samples: int) -> dict[str, Tensor]:
        """Every member on every view, and the stochastic passes on the first."""
        heads, (rows, n_views, _) = self.heads, weights.shape
        fused = self.fusion.combine(embeddings, weights)
        logits = heads.in_portions(fused.reshape(rows * n_views, 1, -1), by_products=n_views > 1)
        found = {"logits": logits.view(heads.n_members, rows, n_views, -1).permute(2, 0, 1, 3), "fused": fused}
        if n_samples > 0 and heads.n_members == 1:
            found["samples"] = self._samples(heads.activate(fused[:, :1]), n_samples)
        return found

    @torch.no_grad()
    def _samples(self, activations: Tensor, n_samples: int) -> Tensor:
        """Logits (s, b, c) of passes that redo the last dropout only, of activations (b, 1, d)."""
        rows = len(activations)
        dropped = self.heads.dropout.sample(activations.expand(-1, n_samples, -1))
        logits = self.heads.read_out(dropped.reshape(rows * n_samples, 1, -1))
        return logits.view(rows, n_samples, -1).transpose(0, 1)


def _make_reliability(network, state, prefix, *ignored):
    """Make a network that is to be loaded have a reliability if, and only if, the state has one."""
    prefix = f"{prefix}reliability."
    tensors = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not tensors:
        network.reliability = None
        return
    if "statistics.floor" not in tensors:
        tensors["statistics.floor"] = state[f"{prefix}statistics.floor"] = torch.tensor(FIRST_FLOOR)
    if network.reliability is None:
        network.reliability = ModalityReliability.from_state(tensors).to(next(network.parameters()).device)
