"""The report in a few sentences, for who reads nothing else of it."""

import numpy as np


def summary(*, score, observed, complete, drop_rates, dropped, importance, lying, decided=None):
    """What a doctor or an operator wants to know, in plain words.

    Parameters
    ----------
    score : str
        Readable name of the score.
    observed : dict of str to float
        ``score``, ``accuracy``, ``confidence`` and ``n_rows`` on all rows as they are.
    complete : dict of str to float or None
        ``score`` and ``n_rows`` on the rows that have every modality, where these are others and enough.
    drop_rates : ndarray of shape (n_rates,)
    dropped : ndarray of shape (n_rates,)
        Mean score at each rate.
    importance : dict of str to ndarray
        Columns ``modality``, ``shapley``, ``low`` and ``high``.
    lying : dict of str to float or str, or None
        The line of the worst lie in the report on corruption.
    decided : dict, default=None
        Of two classes ``class``, ``threshold``, and the ``sensitivity`` and ``specificity`` on all rows as they are.

    Returns
    -------
    list of str
    """
    n_rows = int(observed["n_rows"])
    sentences = []
    if np.isfinite(observed["score"]):
        sentences.append(
            f"On the {n_rows} rows as they are, {score} is {observed['score']:.2f}."
            + (
                f" On the {int(complete['n_rows'])} of them that have every modality it is {complete['score']:.2f}."
                if complete is not None and np.isfinite(complete["score"])
                else ""
            )
        )
    sentences += _hidden(score, np.asarray(drop_rates), np.asarray(dropped))
    sentences += _matters(score, importance)
    sentences.append(_honest(observed["confidence"], observed["accuracy"]))
    sentences += _decision(decided)
    if lying is not None:
        sentences.append(
            f"The worst sensor fault tried is {lying['kind']} in {lying['modality']}: accuracy is then "
            f"{lying['lying']:.2f}, against {lying['genuine']:.2f} with genuine values and {lying['missing']:.2f} with "
            f"{lying['modality']} declared missing."
        )
    return sentences


def _hidden(score, rates, means):
    """What remains where much is missing, in one sentence."""
    told = [(rate, mean) for rate, mean in zip(rates, means, strict=True) if rate >= 0.3 and np.isfinite(mean)]
    if not told:
        return []
    first, *rest = told
    return [
        f"When each modality goes missing with probability {first[0]:g}, {score} is {first[1]:.2f}"
        + "".join(f"{' and' if pair is rest[-1] else ','} {pair[1]:.2f} with {pair[0]:g}" for pair in rest)
        + "."
    ]


def _matters(score, importance):
    gain = np.asarray(importance["shapley"])
    if len(gain) < 2 or not np.isfinite(gain).all():
        return []
    first, last = gain.argmax(), gain.argmin()
    names, low, high = (importance[column] for column in ("modality", "low", "high"))
    if low[first] <= np.delete(gain, first).max():
        return [
            f"No modality stands out. {names[first]} adds most, {gain[first]:.2f} to {score} (95 % interval "
            f"{low[first]:.2f} to {high[first]:.2f}); {names[last]} least, {gain[last]:.2f} ({low[last]:.2f} to "
            f"{high[last]:.2f})."
        ]
    return [
        f"{names[first]} matters most: it adds {gain[first]:.2f} to {score} (95 % interval {low[first]:.2f} to "
        f"{high[first]:.2f}). {names[last]} matters least, with {gain[last]:.2f} ({low[last]:.2f} to {high[last]:.2f})."
    ]


def _decision(decided):
    """How often the threshold finds a class, and how often it calls others so."""
    if decided is None or not np.isfinite([decided["sensitivity"], decided["specificity"]]).all():
        return []
    threshold, positive = decided["threshold"], decided["class"]
    return [
        f"At a threshold of {threshold:g} a share of {decided['sensitivity']:.2f} of the rows of class {positive} is "
        f"found (sensitivity), and {decided['specificity']:.2f} of the others are not called so (specificity)."
        + (" Accuracy on this page is of the most probable class, whatever the threshold." * (threshold != 0.5))
    ]


def _honest(confidence, accuracy):
    gap = confidence - accuracy
    verdict = "its confidence fits" if abs(gap) < 0.03 else f"it is too {'sure' if gap > 0 else 'unsure'} of itself"
    return (
        f"The model gives its answers a probability of {confidence:.2f} on average, and a share of {accuracy:.2f} is "
        f"right: {verdict}."
    )
