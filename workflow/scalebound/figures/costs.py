"""CPU time of a run: one bar a stage, each split by checkpoint, lighter for smaller models."""

import math

import matplotlib as mpl

from scalebound.figures import style

LEAST_SHARE = 0.01  # stages below it are one bar
UNITS = ((10 * 3600, 3600, "hours"), (600, 60, "minutes"), (0, 1, "seconds"))  # from so many seconds of the longest bar on
NAMED, LONG = 10, 18  # of more checkpoints than NAMED, only some stand in the legend, in two columns if a name is longer than LONG


def draw(seconds, checkpoints, shared):
    """`seconds` are {(stage, checkpoint): CPU seconds}; `checkpoints` its second parts from the smallest model up, `shared` that of none."""
    bars = _bars(seconds)
    longest = max(sum(bar.values()) for bar in bars.values())
    divisor, unit = next((divisor, unit) for least, divisor, unit in UNITS if longest >= least)
    looks = _looks(checkpoints, shared)
    named = [look["label"] for look in looks.values() if look["label"] != "_"]
    columns = 3 if max(map(len, named)) <= LONG else 2
    with style.figure(height=0.9 + 0.21 * len(bars) + 0.18 * math.ceil(len(named) / columns)) as (drawn, axes):
        places, left = range(len(bars)), [0.0] * len(bars)
        for checkpoint, look in looks.items():
            widths = [bar.get(checkpoint, 0.0) / divisor for bar in bars.values()]
            axes.barh(places, widths, left=left, height=0.72, edgecolor="white", linewidth=0.4, **look)
            left = [start + width for start, width in zip(left, widths)]
        for place, end in zip(places, left):
            axes.annotate(f"{end:.1f}", (end, place), textcoords="offset points", xytext=(3, 0), va="center", fontsize=8)
        axes.set_yticks(places, bars)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(left) or 1)
        axes.set_xlabel(f"CPU time ({unit})")
        axes.grid(axis="y", visible=False)
        drawn.legend(loc="outside upper center", ncols=columns)
        return drawn


def _bars(seconds):
    """{label: {checkpoint: seconds}} with the longest first; short ones together, at the end."""
    bars = {}
    for (stage, checkpoint), value in seconds.items():
        bars.setdefault(stage, {})[checkpoint] = value
    least = LEAST_SHARE * sum(seconds.values())
    short = [stage for stage, bar in bars.items() if sum(bar.values()) < least]
    if len(short) < 2:
        short = []
    shown = dict(sorted(((stage, bar) for stage, bar in bars.items() if stage not in short), key=lambda item: -sum(item[1].values())))
    if short:
        rest = shown[f"{len(short)} other stages"] = {}
        for stage in short:
            for checkpoint, value in bars[stage].items():
                rest[checkpoint] = rest.get(checkpoint, 0.0) + value
    return shown


def _looks(checkpoints, shared):
    """{checkpoint: how its parts of the bars look}: from light to dark by size; what is shared is grey and hatched."""
    sizes = [checkpoint for checkpoint in checkpoints if checkpoint != shared]
    step = math.ceil(len(sizes) / NAMED)
    shades = mpl.colormaps["Blues"]
    looks = {}
    for k, checkpoint in enumerate(sizes):
        named = k % step == 0 or k == len(sizes) - 1
        looks[checkpoint] = {"color": shades(0.2 + 0.7 * (k + 1) / len(sizes)), "label": checkpoint if named else "_"}
    if shared in checkpoints:
        looks[shared] = {"color": "#BBBBBB", "hatch": "///", "label": shared}
    return looks
