"""Draw docs/way_of_the_data.svg, docs/way_of_one_file.svg and docs/rooms.svg: `make docs`, or `python docs/making/pictures.py`.

SVG as text, of boxes and arrows on a grid: what is drawn is what stands here.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 116, 56, 22, 30, 14  # of a cell of the grid, in pixels
INK, PLAIN, NETWORK, RESULT, CHECK = "#1b1f24", "#eef3f8", "#fbe3d3", "#e2f1e3", "#f4e9f7"


@dataclass(frozen=True)
class Box:
    """A box with a title and smaller lines, `wide` cells wide and `tall` cells high, at a column and row of the grid."""

    column: float
    row: float
    title: str
    lines: tuple = ()
    fill: str = PLAIN
    wide: float = 1
    tall: float = 1

    @property
    def x(self):
        return MARGIN + self.column * (WIDTH + GAP_X)

    @property
    def y(self):
        return MARGIN + self.row * (HEIGHT + GAP_Y)

    @property
    def width(self):
        return self.wide * (WIDTH + GAP_X) - GAP_X

    @property
    def height(self):
        return self.tall * (HEIGHT + GAP_Y) - GAP_Y

    def side(self, name, at=0.5):
        """A point on the side, at a share of its length from the left or from the top."""
        x, y = self.x + at * self.width, self.y + at * self.height
        return {"left": (self.x, y), "right": (self.x + self.width, y), "top": (x, self.y), "bottom": (x, self.y + self.height)}[name]


def way_of_the_data():
    wheels, hub, folder = Box(0, 0, "wheels", ("text of pinned files",), NETWORK), Box(0, 1, "model hub", (), NETWORK), Box(0, 2, "local folder")
    train, fetch = Box(1, 0, "train", ("on their tokens",)), Box(1, 1, "resolve, fetch", ("commit, digests",), NETWORK)
    checkpoint = Box(2, 1, "checkpoint", ("architecture.json",))
    sample, score = Box(3, 0, "sample", ("windows.parquet",)), Box(4, 0, "score", ("every token's loss and entropy:", "scores.parquet"), wide=2)
    quantize = Box(3, 2, "quantize", ("or compress",))
    code = Box(4, 2, "encode, decode", ("model.sbq: its bytes are the code length",), wide=2)
    bound = Box(6, 0.5, "bound, certify", ("bounds.json", "certificate.json"), RESULT, tall=2)
    table, verify, audit = Box(7, 0, "tables, figures", (), RESULT), Box(7, 1, "verify", ("a certificate",), CHECK), Box(7, 2, "audit", ("everything",), CHECK)
    arrows = [
        [wheels.side("right"), train.side("left")],
        [hub.side("right"), fetch.side("left")],
        _elbow(train.side("right"), checkpoint.side("top"), down_last=True),
        [fetch.side("right"), checkpoint.side("left")],
        _elbow(folder.side("right"), checkpoint.side("bottom"), down_last=True),
        _elbow(checkpoint.side("right", 0.25), sample.side("bottom", 0.3), down_last=True),
        _elbow(checkpoint.side("right"), score.side("bottom", 0.2), down_last=True),
        _elbow(checkpoint.side("right", 0.75), quantize.side("top", 0.3), down_last=True),
        [sample.side("right"), score.side("left")],
        [sample.side("bottom", 0.7), quantize.side("top", 0.7)],
        [quantize.side("right"), code.side("left")],
        [code.side("top", 0.6), score.side("bottom", 0.6)],
        _elbow(score.side("right"), bound.side("left", 0.2)),
        _elbow(code.side("right"), bound.side("left", 0.8)),
        *(_elbow(bound.side("right"), box.side("left")) for box in (table, verify, audit)),
    ]
    words = [(code.side("top", 0.6), "decoded model"), (checkpoint.side("right"), "")]
    boxes = (wheels, hub, folder, train, fetch, checkpoint, sample, score, quantize, code, bound, table, verify, audit)
    return _picture("From text or a released model to bounds, tables and an audit", boxes, arrows, words, {NETWORK: "may use the network"})


def way_of_one_file():
    configuration = Box(0, 0.5, "config/", ("config.yaml, *.tsv", "validated"))
    plan = Box(1.4, 0.5, "plan/", ("one declaration a stage:", "files, settings, resources"), wide=1.3)
    rule = Box(3.1, 0, "workflow/rules/", ("a rule made from it",), wide=1.1)
    command = Box(4.6, 0, "commands/", ("one call: python -m", "scalebound score ..."), wide=1.2)
    artifact = Box(6.2, 0, "scores.parquet", ("identity inside,", "run.json beside"), RESULT, wide=1.1)
    audit = Box(4.6, 1, "audit/", ("walks the declarations back", "from the targets, recomputes"), CHECK, wide=1.4)
    page = Box(6.4, 1, "audit.html", ("and its findings",), CHECK, wide=0.9)
    arrows = [
        [configuration.side("right"), plan.side("left")],
        _elbow(plan.side("right", 0.3), rule.side("left")),
        _elbow(plan.side("right", 0.7), audit.side("left")),
        [rule.side("right"), command.side("left")],
        [command.side("right"), artifact.side("left")],
        _elbow(artifact.side("bottom", 0.1), audit.side("right", 0.3), down_last=False),
        _elbow(audit.side("right", 0.7), page.side("left", 0.7)),
    ]
    return _picture("The way of one file, from its declaration to the audit", (configuration, plan, rule, command, artifact, audit, page), arrows)


# from the top floor down, those of tests/unit/test_rooms.py: a room imports from its own floor and from those below
FLOORS = (
    {"audit": "checks a results folder; its page, the crate, the archive"},
    {"commands": "one module a stage: arguments, and the function that the audit calls again"},
    {"benchmarks": "speed and memory beside what they are compared with"},
    {"plan": "jobs: what each reads, writes and depends on, stated once"},
    {
        "curvature": "Hessians, spectra",
        "oracle": "streams of known truth",
        "requential": "students of a run",
        "figures": "drawn from tables",
    },
    {"quantization": "codes and messages", "streams": "where a checkpoint's tokens are"},
    {"scoring": "loss and entropy of every token"},
    {"models": "read, load, train", "corpus": "from wheels to rows", "laws": "Chinchilla's, and the gap's"},
    {"artifacts": "every kind of file on disk: written, read, identified"},
    {"configuration": "what a user writes, validated"},
    {"hub": "released models and data, over the network"},
    {"bounds": "the mathematics: float64 numpy, no torch"},
)
ACROSS = 5  # cells of the widest floor's grid


def rooms():
    boxes = []
    for row, floor in enumerate(FLOORS):
        wide = ACROSS / len(floor)
        boxes += [Box(k * wide, 0.72 * row, name, (text,), CHECK if name == "audit" else PLAIN, wide) for k, (name, text) in enumerate(floor.items())]
    return _picture("The rooms of the package: each imports from the floors below it", boxes)


def _elbow(start, end, down_last=None):
    """A line with right angles: across, down, across; across and down where `down_last`; down and across where it is False."""
    (x, y), (to_x, to_y) = start, end
    middle = to_x - GAP_X / 2
    return {None: [start, (middle, y), (middle, to_y), end], True: [start, (to_x, y), end], False: [start, (x, to_y), end]}[down_last]


def _picture(title, boxes, arrows=(), words=(), key=()):
    key = dict(key)
    width = max(box.x + box.width for box in boxes) + MARGIN
    height = max(box.y + box.height for box in boxes) + MARGIN + (24 if key else 0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img"'
        ' font-family="Helvetica, Arial, sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="white"/>',
        *map(_arrow, arrows),
        *map(_box, boxes),
        *(_text(x + 5, y - 12, word, 11, "start") for (x, y), word in words if word),
    ]
    for k, (fill, text) in enumerate(key.items()):
        y = height - 20
        lines += [f'<rect x="{MARGIN + 160 * k}" y="{y - 9:g}" width="18" height="12" rx="3" fill="{fill}" stroke="{INK}" stroke-width="0.8"/>']
        lines += [_text(MARGIN + 160 * k + 24, y + 1, text, 11, "start")]
    return "\n".join([*lines, "</svg>", ""])


def _box(box):
    parts = [f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6" fill="{box.fill}" stroke="{INK}" stroke-width="1"/>']
    middle = box.x + box.width / 2
    top = box.y + box.height / 2 - 7 * len(box.lines) + 5
    parts.append(_text(middle, top, box.title, 13, "middle", "bold"))
    parts += [_text(middle, top + 15 + 13 * k, line, 10.5, "middle") for k, line in enumerate(box.lines)]
    return "\n".join(parts)


def _text(x, y, text, size, anchor, weight="normal"):
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _arrow(points):
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" fill="none" stroke="{INK}" stroke-width="1.3" marker-end="url(#tip)"/>'


PICTURES = {"way_of_the_data.svg": way_of_the_data, "way_of_one_file.svg": way_of_one_file, "rooms.svg": rooms}


def main():
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
