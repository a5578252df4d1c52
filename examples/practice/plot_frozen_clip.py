"""
Images and captions through CLIP
================================

How do image files and captions become rows? From files to probabilities: each tower of CLIP becomes a transformer of
one modality, a `FrozenEncoder`, and the rows go in as MS-COCO has them, a path and a caption with several labels.
Here CLIP is tiny, its weights are random and the images are coloured squares, so that nothing is downloaded; what
differs with the real ones is at the end.
"""

import tempfile
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import FrozenEncoder, ModalityTransformer

# %%
# The data
# --------
# Sixty images of up to three coloured squares, with captions. Some rows lack the image, some the caption.

folder = Path(tempfile.mkdtemp())
colours = ["red", "green", "blue"]
rng = np.random.default_rng(0)
target = rng.integers(0, 2, (60, 3))


def draw(colours_there, path):
    pixels = np.full((32, 32, 3), 128, dtype=np.uint8)
    for channel in np.flatnonzero(colours_there):
        row, column = rng.integers(0, 20, 2)
        pixels[row : row + 12, column : column + 12] = (
            255 * np.eye(3, dtype=np.uint8)[channel]
        )
    Image.fromarray(pixels).save(path)
    return str(path)


def describe(colours_there):
    return " ".join(
        ["a photo of", *(colours[i] for i in np.flatnonzero(colours_there))]
    )


image = np.array(
    [draw(row, folder / f"{i}.png") for i, row in enumerate(target)], dtype=object
)
caption = np.array([describe(row) for row in target], dtype=object)
image[::6] = None
caption[3::6] = None
X = MultimodalData({"image": image, "caption": caption})
print(Path(X["image"][2]).name, "|", X["caption"][2], "|", target[2])
full = np.flatnonzero(target.sum(axis=1) >= 2)
shown = [*full[X.present[full].all(axis=1)][:2], 3, 6]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="constrained")
for ax, i in zip(axes, shown, strict=True):
    if X["image"][i] is not None:
        ax.imshow(Image.open(X["image"][i]))
    text = X["caption"][i]
    ax.set_title(
        "no caption" if text is None else text.removeprefix("a photo of"), fontsize=9
    )
    ax.text(
        0.5,
        0.5,
        "" if X["image"][i] else "no image",
        ha="center",
        va="center",
        transform=ax.transAxes,
    )
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# A model and what prepares its input
# -----------------------------------
# The tokenizer gets all captions of a batch and returns a mapping of tensors (``batched=True``); the image function
# gets one image.

words = ["<start>", "<end>", "<unknown>", "a", "photo", "of", *colours]
tokenizer = Tokenizer(
    models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unknown>")
)
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer.post_processor = processors.TemplateProcessing(
    single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=tokenizer,
    bos_token="<start>",
    eos_token="<end>",
    pad_token="<end>",
    unk_token="<unknown>",
    model_input_names=["input_ids", "attention_mask"],
)
tokens = partial(
    tokenizer, padding=True, truncation=True, max_length=16, return_tensors="pt"
)


def pixels(image):
    values = np.asarray(image.resize((32, 32)), dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)


tower = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
config = CLIPConfig(
    text_config={
        **tower,
        "vocab_size": len(words),
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    },
    vision_config={**tower, "image_size": 32, "patch_size": 8},
    projection_dim=24,
)
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    clip = CLIPModel(config)

# %%
# Towers, then the classifier
# ---------------------------
# ``cache`` keeps the features on disk, one row an image: the folds share them, and so does tomorrow's notebook.

encoders = ModalityTransformer(
    {
        "image": FrozenEncoder(
            clip, method="get_image_features", preprocess=pixels, cache=folder / "cache"
        ),
        "caption": FrozenEncoder(
            clip,
            method="get_text_features",
            preprocess=tokens,
            batched=True,
            cache=folder / "cache",
        ),
    }
)
features = encoders.fit_transform(X)
print(features.shape, "observed:", features.present.mean(axis=0).round(2))

model = make_pipeline(encoders, AECFClassifier(max_epochs=60, random_state=0))
scores = cross_val_score(model, X, target, cv=3, scoring="roc_auc")
print(f"AUC, 3 folds: {scores.mean():.2f}")

# %%
# With MS-COCO and the real CLIP
# ------------------------------
# The pipeline is the same; the first three blocks become::
#
#     from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel
#     from sklearn_aecf.datasets import fetch_coco
#
#     coco = fetch_coco("path/to/coco")  # coco.data: image (paths) and caption; coco.target: (n, 80)
#     name = "openai/clip-vit-base-patch32"
#     clip = CLIPModel.from_pretrained(name)
#     pixels = partial(AutoImageProcessor.from_pretrained(name), return_tensors="pt")
#     tokens = partial(AutoTokenizer.from_pretrained(name), padding=True, truncation=True, return_tensors="pt")
#     encoders = ModalityTransformer(
#         {
#             "image": FrozenEncoder(
#                 clip, method="get_image_features", preprocess=pixels, batched=True, cache="features", verbose=1
#             ),
#             "caption": FrozenEncoder(
#                 clip, method="get_text_features", preprocess=tokens, batched=True, cache="features", verbose=1
#             ),
#         }
#     )
#     model = make_pipeline(encoders, AECFClassifier(random_state=0))
#     model.fit(MultimodalData(coco.data), coco.target)
#
# **Learnt:** each tower is a transformer of one modality, and what is missing stays missing.
