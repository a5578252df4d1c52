"""Both towers of a CLIP that Hugging Face builds, and a cache that knows them again."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from encoder_helpers import cpu, to_tensor
from numpy.testing import assert_allclose

from sklearn_aecf.compose._fingerprint import fingerprint

pytestmark = pytest.mark.usefixtures("seeded")


class TestClip:
    """Both towers of a tiny CLIP, as Hugging Face builds it."""

    @pytest.fixture
    def clip(self):
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        text = {**tower, "vocab_size": 12, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
        config = transformers.CLIPConfig(
            text_config={**text, "pad_token_id": 1},
            vision_config={**tower, "image_size": 8, "patch_size": 4},
            projection_dim=6,
        )
        return transformers.CLIPModel(config)

    @pytest.fixture
    def tokens(self, clip):
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        words = ["<s>", "</s>", "<unk>", "a", "red", "blue", "square"]
        tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            pad_token="</s>",
            unk_token="<unk>",
            model_input_names=["input_ids", "attention_mask"],
        )
        return partial(fast, padding=True, truncation=True, max_length=8, return_tensors="pt")

    @pytest.mark.parametrize("batch_size", [1, 2, 32])
    def test_towers(self, clip, tokens, paths, batch_size):
        texts = ["a red square", None, "blue", "a a a blue square"]
        encoder = cpu(clip, method="get_text_features", preprocess=tokens, batched=True, batch_size=batch_size)
        out = encoder.fit_transform(texts)
        assert out.shape == (4, 6) and np.isnan(out[1]).all()
        clip.eval()
        with torch.no_grad():
            expected = clip.text_projection(clip.text_model(**tokens(texts[:1])).pooler_output)
        clip.train()
        assert_allclose(out[:1], expected, atol=1e-6)
        images = cpu(clip, method="get_image_features", preprocess=to_tensor, batch_size=batch_size).fit_transform(
            paths
        )
        assert images.shape == (5, 6)
        vision = cpu(clip.vision_model, preprocess=to_tensor, pooling="cls", batch_size=batch_size).fit_transform(paths)
        assert vision.shape == (5, 8) and all(part.training for part in clip.modules())

    def test_the_cache_knows_model_and_tokenizer_again(self, clip, tokens, tmp_path):
        before = fingerprint(clip), fingerprint(tokens)
        texts = np.array(["a red square", "blue"], dtype=object)
        encoder = cpu(clip, method="get_text_features", preprocess=tokens, batched=True, cache=tmp_path)
        first = encoder.fit_transform(texts)
        # A fast tokenizer remembers its last padding; that is no other tokenizer.
        assert (fingerprint(clip), fingerprint(tokens)) == before
        assert fingerprint(pickle.loads(pickle.dumps((clip, tokens)))) == fingerprint((clip, tokens))
        assert_allclose(encoder.transform(texts[::-1]), first[::-1])
        assert len(list(tmp_path.rglob("*.features"))) == 1
        assert fingerprint(partial(tokens, max_length=4)) != before[1]
