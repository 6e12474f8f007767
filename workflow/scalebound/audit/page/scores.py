"""Token losses on the audit page: histograms, quantiles, and windows as coloured text."""

from pathlib import PurePosixPath

import numpy as np

from scalebound.artifacts.scores import STAGES, scores_of
from scalebound.audit.page import charts
from scalebound.audit.page.text import TokenNumbers, TokenText
from scalebound.audit.page.values import number, whole
from scalebound.corpus.rows import MAKERS

WINDOWS_SHOWN = 3
BINS = 40
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def quantized_scores(section, checkpoint, folder):
    """Losses of the quantized beside those of the plain model, token by token the same windows."""
    plain, quantized = (losses_of(section, f"{base}/score/scores.parquet") for base in (checkpoint, folder))
    _, made = section.table(f"{folder}/score/scores.parquet", STAGES)
    edges = np.linspace(0, max(plain.max(), quantized.max()), BINS + 1)
    label = f"Histogram of token losses in nats: plain model, mean {plain.mean():.3f}; quantized model, mean {quantized.mean():.3f}"
    series = [(_shares(plain, edges), charts.SKY, True), (_shares(quantized, edges), charts.VERMILION, False)]
    columns = [_statistics(plain), _statistics(quantized)]
    return {
        "chart": charts.histogram(edges, series, "loss of a token (nats)", label),
        "rows": [(name, number(a), number(b), number(b - a)) for (name, a), (_, b) in zip(*columns)],
        "tokens": whole(plain.size),
        "device": made["device"],
        "dtype": made["dtype"],
    }


def raised_window(section, checkpoint, folder):
    """The window whose mean loss quantization raised most, in the quantized model's losses."""
    plain, quantized = (losses_of(section, f"{base}/score/scores.parquet") for base in (checkpoint, folder))
    order = np.argsort(plain.mean(axis=1) - quantized.mean(axis=1), kind="stable")[:1]
    return {"windows": _texts(section, checkpoint, quantized, order, plain)}


def plain_scores(section, checkpoint):
    """Losses of the unquantized model."""
    losses = losses_of(section, f"{checkpoint}/score/scores.parquet")
    table, made = section.table(f"{checkpoint}/score/scores.parquet", "score")
    edges = np.linspace(0, losses.max(), BINS + 1)
    label = f"Histogram of token losses of the unquantized model in nats, mean {losses.mean():.3f}"
    entropy = table["entropy"].to_numpy().astype(np.float64)
    return {
        "chart": charts.histogram(edges, [(_shares(losses, edges), charts.SKY, True)], "loss of a token (nats)", label),
        "rows": [(name, number(a), number(b)) for (name, a), (_, b) in zip(_statistics(losses), _statistics(entropy))],
        "tokens": whole(losses.size),
        "windows": whole(len(losses)),
        "device": made["device"],
        "dtype": made["dtype"],
    }


def worst_windows(section, checkpoint):
    """The windows with the highest mean loss under the unquantized model, as text."""
    losses = losses_of(section, f"{checkpoint}/score/scores.parquet")
    order = np.argsort(-losses.mean(axis=1), kind="stable")[:WINDOWS_SHOWN]
    return {"windows": _texts(section, checkpoint, losses, order)}


def losses_of(section, path):
    """float64 [windows, predictions] of a scores.parquet, whose rows are in the order of windows and positions."""
    table, _ = section.table(path, STAGES)
    losses, _ = scores_of(table, section.name(path))
    if not np.isfinite(losses).all():
        raise ValueError(f"{section.name(path)}: a loss is not finite")
    return losses


def stream_of(made):
    """The stream's name from the path of what windows were drawn from: .../streams/<stream>/..."""
    parts = made["inputs"]["stream"]["path"].split("/")
    return parts[parts.index("streams") + 1]


def _text_stream(section, made):
    """The stream whose tokenizer the tokens are of: of a stream that a model wrote, the one that this model was trained on."""
    tokens = PurePosixPath(made["inputs"]["tokens"]["path"])
    listing = "/".join((*tokens.parts[-4:-1], "stream.json"))
    if section.exists(f"streams/{tokens.parts[-3]}/tokenizer.json") or not section.exists(listing):
        return tokens.parts[-3]
    written = section.json(listing, MAKERS)["identity"]
    if written["stage"] != "generate":
        return tokens.parts[-3]
    return _text_stream(section, section.json(f"training/{written['settings']['run']}/checkpoints.json", "train")["identity"])


def _shares(losses, edges):
    return np.histogram(losses, edges)[0] / losses.size * 100


def _statistics(values):
    quantiles = [("median" if q == 0.5 else f"{q:.0%} quantile", float(value)) for q, value in zip(_QUANTILES, np.quantile(values, _QUANTILES))]
    return [("mean", float(values.mean())), ("standard deviation", float(values.std())), *quantiles, ("maximum", float(values.max()))]


def _texts(section, checkpoint, losses, order, before=None):
    """Windows as coloured text; `before` are the plain model's losses when `losses` are another model's."""
    row_ids, tokens, made = section.windows(f"{checkpoint}/sample/score/windows.parquet")
    # only a stream that the workflow made has its tokenizer here
    text = TokenText(section.file(f"streams/{_text_stream(section, made)}/tokenizer.json")) if "tokens" in made["inputs"] else TokenNumbers()
    shown = []
    for i in map(int, order):
        means = {"mean": number(losses[i].mean()), "before": None if before is None else number(before[i].mean())}
        shown.append({"window": i, "row": whole(row_ids[i]), **means, "text": text.window(tokens[i], losses[i])})
    return shown
