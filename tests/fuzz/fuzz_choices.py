"""What is passed for parameters and arguments, as text: valid and invalid. `fuzz_inputs.value_of` makes it."""

from hypothesis import strategies as st

from sklearn_aecf.compose._corrupting import KINDS

# Of AECFClassifier

NUMBERS = [
    "0", "1", "-1", "0.5", "1e-300", "5e-324", "1e10", "1e38", "1e300", "np.nan", "np.inf", "-np.inf", "None", "'x'",
    "True", "[]", "np.float32(0.25)", "np.int64(1)", "2**70", "10**400", "-0.0", "Decimal('0.5')", "0.999999999999",
    "np.array(0.5)", "np.array([0.5])", "torch.tensor(0.5)", "0.5j",
]  # fmt: skip
SIZES = [
    "0", "1", "2", "3", "-1", "1.5", "2.0", "None", "'x'", "'auto'", "True", "np.int64(2)", "np.nan", "[2]",
    "np.uint8(3)",
]  # fmt: skip
# Weights of classes that are all the same.
EQUAL_CLASSES = [
    "{0: 1, 1: 1}", "{0: 1e-300, 1: 1e-300}", "{0: 1e-15, 1: 1e-15}", "{0: 1e300, 1: 1e300}", "{0: 1e308, 1: 1e308}",
]  # fmt: skip
FLAGS = ["True", "False", "None", "'yes'", "1", "0", "np.bool_(True)", "np.bool_(False)"]
PARAMS = {
    "embed_dim": SIZES, "hidden_dim": SIZES, "n_members": SIZES, "max_epochs": SIZES,
    "n_iter_no_change": [*SIZES, "2**70"], "batch_size": [*SIZES, "2**70", "10**400", "7"],
    "dropout": NUMBERS, "mask_rate": NUMBERS, "entropy_weight": NUMBERS, "agreement_weight": NUMBERS,
    "monotone_weight": NUMBERS, "learning_rate": NUMBERS, "weight_decay": NUMBERS, "corruption_rate": NUMBERS,
    "entropy_scale": [*NUMBERS, "'auto'"], "validation_fraction": [*NUMBERS, "'auto'", "0.01", "0.95"],
    "masking": [
        "'entropy'", "'regret'", "None", "'other'", "EntropyMasking(0.3)", "UniformMasking(2.0)", "UniformMasking('x')",
        "UniformMasking", "0.5", "UniformMasking(np.nan)", "EntropyMasking(1e300)", "True",
    ],
    "corruption": ["RandomCorruption()", "RandomCorruption", "'noise'", "1"],
    "network": ["'x'", "torch.nn.Linear(2, 2)", "1"], "early_stopping": FLAGS, "add_gap_indicator": FLAGS,
    "warm_start": FLAGS, "temperature": ["'global'", "'subset'", "None", "'x'", "1.0", "True"],
    "scale": ["None", "[]", "['a']", "['z']", "[1]", "['a', 'a']", "'robust'", "('a',)", "[None]", "[['a']]", "{'a'}"],
    "class_weight": [
        "'balanced'", "{}", "{0: 2, 1: 1}", "{0: 1}", "{0: -1, 1: 1}", "{0: np.nan, 1: 1}", "{0: np.inf, 1: 1}",
        "{0: 0, 1: 0}", "{0: 0, 1: 1}", "{5: 1}", "{'no': 1}", "{0: 'x'}", "{0: None}", *EQUAL_CLASSES, "'x'", "[1, 2]",
        "{0: [1]}", "{None: 1}", "{0: True, 1: 1}", "{0: 1j}",
    ],
    "device": [
        "'auto'", "'gpu'", "'cuda'", "'cuda:99'", "'mps'", "''", "None", "torch.device('cpu')", "'cpu:0'", "'cpu:7'",
        "'meta'", "'CPU'",
    ],
    "precision": ["'bfloat16'", "'float16'", "None", "torch.float32"],
    "callbacks": [
        "[]", "[EarlyStopping()]", "[LRScheduler('StepLR', step_size=1)]", "[1]", "['x']", "[None]", "EarlyStopping()",
        "[EarlyStopping]", "[('x', EarlyStopping())]", "(EarlyStopping(),)", "[('x', 1)]", "[print]",
    ],
    "random_state": [
        "1", "-1", "'x'", "np.random.RandomState(0)", "np.random.default_rng(0)", "1.5", "True", "np.int64(3)",
        "np.array([1])",
    ],
    "verbose": ["0", "False", "-1", "'x'", "None", "1.5"],
    "encoders": [
        "{}", "[]", "{'a': 1}", "{'a': torch.nn.Linear(3, 2)}", "{'z': torch.nn.Linear(3, 2)}",
        "{'a': torch.nn.Linear(7, 2)}", "{'a': lambda: torch.nn.Linear(3, 4)}", "{'a': lambda x: x}",
        "{'a': torch.nn.Linear}", "{'a': None}", "{1: torch.nn.Linear(3, 2)}", "{'a': torch.nn.Identity()}",
        "{'a': torch.nn.Embedding(5, 2)}", "{'a': lambda: 1}", "{'a': torch.nn.Flatten(0)}",
    ],
}  # fmt: skip
# Also of modalities, for arrays and frames.
COLUMNS = [
    "{}", "{'a': slice(0, 99)}", "{'a': 'zz*'}", "{'a': []}", "{'a': [0, 0]}", "{'a': [0], 'b': [0]}", "{1: [0]}",
    "{'a': 0}", "{'a': None}", "[0]", "'a'", "{'a': slice(2, 0, -1)}",
    "{'a': [True, False, False, False, False, False]}", "{'a': [True, False]}", "{'a': 1.5}", "{'a': ['a0', 3]}",
    "{'a': {'a0'}}", "{'a': np.array([[0]])}", "{'a': range(3)}", "{'a': 'a*', 'b': 'b?'}",
    "{'a': ['a*'], 'b': ['b0', 'b1']}", "{'a': slice('a0', 'a2')}", "{'a': [-1], 'b': [0]}", "{'a': [-7]}",
    "{'a': [10**30]}", "{'a': np.array([0, 1], dtype=np.uint8)}", "{'a': ('a0', 'a1')}", "{'a': 'a0'}",
    "{'a': pd.Index(['a0'])}", "{'a': slice(None)}", "{'a': np.nan}", "{'a': {'x': 1}}", "{'a': [[0], [1, 2]]}",
    "{'a': (v for v in ['a0'])}", "{'a': b'a0'}", "{'a': [None]}", "{'a': slice(0, 3, 0)}", "{'a': slice(-2, None)}",
    "{'a': [0.0, 1.0]}", "{'a': len}", "{'a': '['}", "{'': ['a0']}", "{'a': 'a0', 'b': 'a*'}",
]  # fmt: skip
HELD_OUT = [
    "np.arange(n) % 3 == 0", "np.zeros(n, bool)", "np.ones(n, bool)", "(X, y)", "(X,)", "'x'", "[True] * n",
    "(X, y, y)", "(None, None)", "({'a': X['a']}, y)", "({'z': X['a']}, y)", "(X, y[:-1])", "np.arange(n)", "5",
    "np.ones(n)", "[X, y]", "(np.arange(n) % 2 == 0).tolist()", "pd.Series(np.arange(n) % 4 == 0)", "(X, np.zeros(n))",
    "(X, np.arange(n))", "({'a': np.full((n, 3), np.nan)}, y)",
]  # fmt: skip
SUBSETS = [
    "[['a']]", "[[]]", "[]", "np.ones((2, n), bool)", "np.ones((1, 9), bool)", "np.zeros((1, n), bool)",
    "np.ones((1, n))", "[['z']]", "'a'", "['a']", "5", "None", "[['a', 'a']]", "[[1]]", "np.ones(n, bool)",
    "[['a'], 1]", "{'a'}", "[('a', 'b')]", "[['a', None]]", "np.array([['a']])", "[[True] * n]",
    "[[True], [True, False]]", "{'x': ['a']}",
]  # fmt: skip
LATER = [
    "{'hidden_dim': 0}", "{'hidden_dim': 'x'}", "{'n_members': 5}", "{'precision': 'bfloat16'}", "{'precision': 'x'}",
    "{'modalities': {'a': [0]}}", "{'device': 'cuda'}", "{'embed_dim': 9}", "{'scale': None}", "{'encoders': {'a': 1}}",
    "{'nothing': 1}", "{'encoders__a': 1}",  "{'encoders': {'z': 1}}", "{'a': 1}",
    "{'encoders__z__x': 1}", "{'callbacks': 5}", "{'temperature': None}", "{'corruption_rate': 0}",
    "{'random_state': 5}", "{'masking': 'entropy'}", "{'max_epochs': 0}", "{'': 1}",
    "{'encoders__': 1}",
]  # fmt: skip

# Of MultimodalData

SIMPLE = st.one_of(
    st.integers(-26, 26),
    st.slices(24),
    st.lists(st.integers(-26, 26), max_size=4),
    st.lists(st.booleans(), min_size=23, max_size=25),
).map(repr)
WRAPPED = [
    "{}", "{}", "np.array({})", "np.array({}, dtype=np.int8)", "np.array({}, dtype=np.uint64)",
    "np.array({}, dtype=float)", "pd.Series({})", "torch.tensor({})", "({}, ...)", "({}, slice(None))", "({}, [0, 2])",
    "({}, 'a')", "({}, 9)", "({}, slice(1, 3))", "({}, ['a'])", "[{}]", "({},)", "pd.Index({})",
    "np.array({}, dtype=object)", "(..., {})", "(slice(None), {})", "({}, {})", "({}, None)", "({}, True)",
    "({}, np.ones(6, bool))", "({}, np.ones(5, bool))", "({}, 1.5)", "pl.Series({})", "pd.array({})",
]  # fmt: skip
ODD_KEYS = [
    "None", "...", "1.5", "'z'", "['a', 'z']", "['a', 1]", "('a', 'b')", "['b', 'a']", "np.array(['a'])", "[]", "()",
    "[[]]", "slice('a')", "slice(None, None, 0)", "slice(1.5)", "np.nan", "True", "[None]", "{0}", "b'a'", "object()",
    "np.bool_(True)", "np.array(1)", "[2**70]", "2**70", "-2**63", "['a', 'a']", "[1.0]", "range(3)", "'a'",
    "(0, 1, 2)", "pd.Series([True] * 24)", "np.ones((24, 1), bool)", "[[0, 1]]", "np.array([], dtype=object)",
    "{'a': 1}", "slice(None, None, -1)", "np.array(['a'], dtype=object)", "lambda X: X", "np.datetime64('2020')",
]  # fmt: skip
KEYS = st.one_of(
    st.builds(lambda wrapping, key: wrapping.replace("{}", key), st.sampled_from(WRAPPED), SIMPLE),
    st.sampled_from(ODD_KEYS),
)
ODD_ROWS = ["np.array(1)", "[1.5]", "'a'", "None", "[[0, 1]]", "[]", "['a']", "[2**70]", "np.array([1], np.int8)"]
TAKES = st.one_of(SIMPLE, st.sampled_from(ODD_ROWS))
PRESENT = [
    "{'a': np.arange(n) > 3}", "{'a': [True] * n}", "{'a': np.ones(n)}", "{'a': np.ones(n - 1, bool)}",
    "{'z': [True] * n}", "{'a': True}", "{'a': None}", "[]", "'a'", "{'a': np.ones((n, 1), bool)}",
    "{'a': pd.Series([False] * n)}", "5", "{1: [True] * n}", "{'a': 'x'}", "[('a', [True] * n)]",
]  # fmt: skip
FEATURES = [
    "{'a': ['x', 'y', 'z']}", "{'a': ['x']}", "{'a': 'xyz'}", "{'z': []}", "{'a': 5}", "{'a': [1, 2, 3]}",
    "{'a': None}", "[]", "{'a': ['x', 'x', 'x']}", "5", "'a'", "{'a': (v for v in 'xyz')}", "{'a': np.arange(3)}",
]  # fmt: skip

# Of compose and metrics

RATES = [
    "0", "1", "0.3", "True", "-0.1", "1.5", "np.nan", "'x'", "None", "[0.5]", "np.float32(0.5)", "np.array(0.5)",
    "np.ones((n, 3), bool)", "np.arange(3 * n).reshape(n, 3) % 2 == 0", "np.ones((n, 2), bool)", "np.ones((n, 3))",
    "np.ones(3, bool)", "1j", "Decimal('0.5')", "[[True, False, True]] * n", "np.inf", "torch.tensor(0.5)",
    "pd.DataFrame(np.ones((n, 3), bool))",
]  # fmt: skip
KIND = [
    *map(repr, KINDS), *map(repr, KINDS), "'x'", "[]", "None", "['noise', 'stuck']", "('dead',)", "{'gain'}", "[1]",
    "5", "['noise', None]", "np.array(['noise'])", "'noise,stuck'", "b'noise'", "[['noise']]", "'__init__'", "'_some'",
]  # fmt: skip
TRANSFORMERS = [
    "{'a': 'drop'}", "{'a': StandardScaler(), 'b': 'passthrough'}", "{('a', 'b'): StandardScaler()}",
    "{'a': {'x': StandardScaler(), 'y': 'passthrough'}}", "{'z': 'drop'}", "{'a': 5}", "{'a': None}", "{1: 'drop'}",
    "[]", "None", "'a'", "{'a': StandardScaler}", "{}", "{'a': 'x'}", "{'a': 'drop', 'b': 'drop', 'c': 'drop'}",
    "{('a', 'z'): 'drop'}", "{('a',): 'passthrough'}", "{(): 'passthrough'}", "{'a': {}}",
    "{('a', 'b'): {'c': 'passthrough'}}", "{('a', 'a'): 'passthrough'}", "{'a': {1: 'passthrough'}}",
    "{('a', 'b'): 'passthrough'}", "{'a': {'x': {'y': 'drop'}}}", "{'a': StandardScaler(with_mean='x')}",
]  # fmt: skip
HIDDEN = ["'a'", "['a', 'b']", "'z'", "[]", "None", "[1]", "5", "'ab'", "('a', 'a')", "{'c'}", "[['a']]", "b'a'"]
PROBABILITIES = [
    "p[:, 1]", "p[:-1]", "p * 2", "p * np.nan", "-p", "p.tolist()", "pd.DataFrame(p)", "torch.tensor(p)",
    "p.astype(np.float32)", "p.astype(object)", "'x'", "None", "p[:, :, None]", "p.astype(str)", "p * 0",
    "np.eye(p.shape[1])[p.argmax(1)]", "np.where(p == p.max(), np.inf, p)", "pl.DataFrame(p)", "p[0, 0]", "p * 1j",
    "p[:, :1]",
]  # fmt: skip
BINS = ["1", "2", "1000", "0", "-1", "1.5", "'x'", "None", "np.int64(5)", "True", "np.nan"]
ORDERS = [
    "[0, 1]", "[1, 0]", "['no', 'yes']", "[0]", "[0, 0]", "'x'", "5", "[0, 1, 2]", "None", "[0, np.nan]", "{0, 1}",
    "np.array([[0, 1]])", "[[0], [1, 2]]",
]  # fmt: skip
REPORTED = [
    "'observed'", "'single'", "'leave-one-out'", "'x'", "[['a']]", "[[]]", "[['z']]", "5", "None", "[]", "['a']",
    "np.ones((1, 3), bool)", "[[1]]",
]  # fmt: skip
SCORINGS = [
    "'accuracy'", "'roc_auc'", "'x'", "['accuracy']", "5", "None", "{'x': 'accuracy'}", "'neg_log_loss'",
    "lambda *a: 1", "[]", "{'x': None}", "'average_precision'", "'r2'",
]  # fmt: skip
