"""What the report's numbers, pictures and tables say, in plain words."""


def captions(*, n_rows, n_complete, score, positive=None, threshold=0.5, labels=False, some_subsets=False):
    """A sentence or two for each heading of the report.

    Parameters
    ----------
    n_rows, n_complete : int
        Rows, and rows that have all modalities; 0 where these are too few to compare on.
    score : str
        Readable name of the score that is drawn.
    positive : object, default=None
        Of two classes the one that sensitivity is about.
    threshold : float, default=0.5
        Probability of it from which a row is called so.
    labels : bool, default=False
        Whether a row has several labels.
    some_subsets : bool, default=False
        Whether the picture of subsets leaves some out.

    Returns
    -------
    dict of str to str
        By heading; ``"numbers"`` of what stands at the top.
    """
    sureness = "the mean over labels of max(p, 1 - p)" if labels else "the largest probability"
    ece = "ECE, the expected calibration error, is the mean gap between confidence and the share that is right"
    return {
        "numbers": (
            "As observed: every row with the modalities that it has. "
            + (f"All modalities, and the worst subset: on the {n_complete} rows that have all. " if n_complete else "")
            + f"{ece}: 0 at best, and higher by chance alone where rows are few. Rows surer with less: how often the "
            "confidence of a row grows by more than 0.01 when one modality is taken from it."
            + (" Accuracy is that of single labels, where they were reported." if labels else "")
        ),
        "Score against drop rate": (
            "The drop rate is the probability that a modality of a row is hidden; a row keeps at least one. All "
            f"{n_rows} rows count at every rate. The band is one standard deviation of the draws."
        ),
        "Score of each subset": (
            "The score from these modalities alone. A bar is of the rows that have them, whose number is below. "
            + _marks(n_rows, n_complete)
            + (" Drawn are all modalities, each left out and each alone; the table has every subset." * some_subsets)
        ),
        "Reliability by number of modalities": (
            "Of predictions with confidence 0.8, 80 % should be right: the dashed line. For the line of k modalities "
            f"every row with at least k keeps k of them, drawn at random. Of more than six lines six are drawn. {ece}."
        ),
        "Gate weights": (
            "The gate weight is the share of a modality in what the model fuses for a row; the weights of a row sum to "
            "1. It says where the model looks, not what a modality is worth. Right: how evenly the weights of a row "
            "are spread, from 0 (one modality has it all) to 1 (all weigh the same)."
        ),
        "What the data has": "Which modalities are observed together: share and number of rows.",
        "Each subset of modalities": (
            f"n rows: rows that have the subset. confidence: the mean over rows of {sureness}. {ece}."
            + (f" Columns with complete: on the {n_complete} rows that have all." if 0 < n_complete < n_rows else "")
        ),
        "Importance of each modality": (
            f"The Shapley value is the mean gain of {score} when the modality joins others, over all orders of "
            f"joining, on all {n_rows} rows; n rows of them have the modality. low and high: a 95 % interval for the "
            "chance of which rows were tested, with the model as it is."
        ),
        f"At threshold {threshold:g}": (
            f"A row is called {positive} from a probability of {threshold:g} for {positive} on. Sensitivity: the share "
            f"of rows of class {positive} that are called so. Specificity: the share of other rows that are not. All "
            f"lines have the same {n_rows} rows; n hidden of them lose the modality."
        ),
        "Confidence without a modality": (
            "Less evidence should not make surer. violation rate: the share of rows whose confidence grows by more "
            "than 0.01 without the modality. gap: the mean growth, above 0 where less evidence makes surer on average."
        ),
        "What if a sensor lies": (
            "Accuracy on the same rows with the modality as it is (genuine), without it (missing) and with wrong "
            "values in it (lying). confidence and ece: while it lies. noticed: how well the model's reliability tells "
            "wrong values from genuine ones, as area under the ROC curve: 0.5 is chance, 1 is always."
        ),
    }


def _marks(n_rows, n_complete):
    if n_complete == n_rows:
        return "All bars have the same rows."
    if n_complete == 0:
        return "Bars differ in their rows, and too few rows have all modalities: they compare only roughly."
    return f"Bars differ in their rows. Marks do not: they are of the {n_complete} rows that have all."
