"""One row of features an item, whatever the module returns."""

import re

import numpy as np
import pytest
import torch

from sklearn_aecf.compose._frozen import pool


class TestPooling:
    tokens = torch.arange(12.0).reshape(2, 3, 2)

    def test_shapes(self):
        assert pool(torch.ones(2, 3), "auto").shape == (2, 3)
        assert pool(torch.ones(2), "auto").shape == (2, 1)
        assert pool(np.ones((2, 3)), "auto").shape == (2, 3)
        assert pool((torch.ones(2, 3), torch.ones(2, 9)), "auto").shape == (2, 3)
        assert pool([torch.ones(3), torch.ones(3)], "auto").shape == (2, 3)
        assert pool(torch.ones(2, 3, 4, 4), "mean").shape == (2, 3)
        assert pool(torch.ones(2, 3, 4, 4, 4), "auto").shape == (2, 3)
        assert pool(self.tokens, "auto").tolist() == [[2, 3], [8, 9]]
        assert pool(self.tokens, "cls").tolist() == [[0, 1], [6, 7]]
        assert pool({"x": self.tokens}, lambda output: output["x"][:, 1]).tolist() == [[2, 3], [8, 9]]

    def test_padding_does_not_count(self):
        present = torch.tensor([[1, 1, 0], [1, 0, 0]])
        assert pool(self.tokens, "mean", present).tolist() == [[1, 2], [6, 7]]
        assert pool(self.tokens, "mean", torch.ones(2, 9)).tolist() == [[2, 3], [8, 9]]

    def test_order_of_outputs(self):
        output = {"last_hidden_state": self.tokens, "pooler_output": torch.ones(2, 5), "image_embeds": torch.ones(2, 4)}
        assert pool(output, "auto").shape == (2, 4)
        assert pool({**output, "image_embeds": None}, "auto").shape == (2, 5)
        assert pool(output, "cls").tolist() == [[0, 1], [6, 7]]

    @pytest.mark.parametrize(
        ("output", "pooling", "present", "error", "message"),
        [
            (torch.ones(2, 3), "cls", None, ValueError, "pooling='cls' needs an output of shape (b, t, d). Got (2, 3)."),
            (torch.ones(2, 3), "mean", None, ValueError, "pooling='mean' needs an output of shape (b, t, d) or (b, c, ...). Got (2, 3)."),
            ({"logits": torch.ones(2, 3)}, "mean", None, ValueError, "pooling='mean' looks for 'last_hidden_state' in the module's output, which has 'logits'; give pooling a function from the output to a tensor of shape (b, d)."),
            (torch.ones(2, 3, 1), "auto", torch.tensor([[1, 1, 1, 0]] * 2), ValueError, "The module gives 3 tokens for an attention mask of 4, so padding cannot be told apart; set batch_size=1, or give pooling a function."),
            ("text", "auto", None, TypeError, "The module must return a tensor, an array, a tuple or a mapping of them. Got str; give pooling a function from the output to a tensor of shape (b, d)."),
        ],
    )  # fmt: skip
    def test_refused(self, output, pooling, present, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            pool(output, pooling, present)
