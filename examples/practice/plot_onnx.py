"""
Serving without torch
=====================

How does a model answer where nobody wants to install torch or scikit-learn, on a hospital's server for example?
`AECFClassifier.to_onnx` writes one file, which ONNX Runtime serves. Standardising, gaps, missing modalities,
temperature and the class prior are inside. It takes ``pip install sklearn-aecf[onnx]`` here, and
``pip install onnxruntime`` there.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import load_heart_disease

heart = load_heart_disease()
X, y = heart.data, heart.target
# Small, and without learning which sensors lie, so that this page is made quickly.
clf = AECFClassifier(
    max_epochs=10, embed_dim=32, hidden_dim=64, corruption_rate=0, random_state=0
)
clf.fit(X[:600], y[:600])

folder = TemporaryDirectory()
path = Path(folder.name) / "model.onnx"
clf.to_onnx(path)
print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")

# %%
# The server
# ----------
# A program that knows numpy and ONNX Runtime. Names of modalities and classes are in the file. What a row lacks is NaN:
# a whole modality, or single values. It writes down what it answered, and how long one row took.
SERVER = """
import json, sys, time
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # a single row gains nothing from more
session = onnxruntime.InferenceSession("model.onnx", options)
metadata = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
print("modalities", metadata["modalities"])
print("classes", metadata["classes"])

rows = dict(np.load("rows.npz"))
one = {name: values[:1] for name, values in rows.items()}
seconds = []
for _ in range(200):
    start = time.perf_counter()
    session.run(None, one)
    seconds.append(time.perf_counter() - start)

probabilities, weights = session.run(["probabilities", "gate_weights"], rows)
np.savez("answers.npz", probabilities=probabilities, weights=weights, seconds=seconds)
print("loaded:", [name for name in ("torch", "sklearn", "sklearn_aecf") if name in sys.modules])
"""

rows = {name: np.asarray(X[name][600:], dtype=np.float64) for name in X}
rows["thallium"][:] = np.nan  # a hospital without that test
np.savez(path.with_name("rows.npz"), **rows)
run = subprocess.run(
    [sys.executable, "-c", SERVER],
    cwd=folder.name,
    capture_output=True,
    text=True,
    check=True,
)
print(run.stdout)

# %%
# The same answers
# ----------------
with np.load(path.with_name("answers.npz")) as file:
    answers = dict(file)
folder.cleanup()
print(
    "largest difference in probability:",
    abs(answers["probabilities"] - clf.predict_proba(rows)).max(),
)
print(
    "largest difference in gate weights:",
    abs(answers["weights"] - clf.gate_weights(rows)).max(),
)

# %%
# How long one row takes
# ----------------------
one = {name: values[:1] for name, values in rows.items()}
seconds = []
for _ in range(50):
    start = time.perf_counter()
    clf.predict_proba(one)
    seconds.append(time.perf_counter() - start)
milliseconds = [1e3 * np.median(times) for times in (answers["seconds"], seconds)]

figure, ax = plt.subplots(figsize=(5.6, 1.8), layout="constrained")
ax.bar_label(
    ax.barh(["ONNX Runtime", "predict_proba"], milliseconds, color=["C0", "C7"]),
    fmt=" %.2f ms",
)
ax.set(xlabel="one row, ms", xlim=(0, 1.2 * max(milliseconds)))
plt.show()

# %%
# **Learnt:** one file holds all that happens between raw arrays and probabilities. A server needs ONNX Runtime alone.
