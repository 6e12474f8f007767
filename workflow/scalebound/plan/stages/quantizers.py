"""Every parameter as integers, the code that names them, the model rebuilt from the code alone, and its bounds.

results/{family}/{slug}/quantizers/{quantizer}/quantize/codes.safetensors    codes, scales, zeros
results/{family}/{slug}/quantizers/{quantizer}/quantize/quantization.json    method, damping, error by parameter
results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq              the message; its length is the code length
results/{family}/{slug}/quantizers/{quantizer}/encode/code.json              bytes, bits per parameter, bits by parameter
results/{family}/{slug}/quantizers/{quantizer}/decode/...                    config.json, model.safetensors, decoded.json
results/{family}/{slug}/quantizers/{quantizer}/score/scores.parquet          of the decoded model, as those of the checkpoint
results/{family}/{slug}/quantizers/{quantizer}/bound/bounds.json             every bound with its terms: an estimate

On fixed grids (quantize, encode), or as the shortest code of a good hypothesis (compress), whose length was in its aim.
"""

from scalebound.plan.rule import QUANTIZER, Rule, alternatives
from scalebound.plan.stages.checkpoints import ARCHITECTURE, HELDOUT_SCORES, PRICE, RESOLVED, SCORES, score, windows_of

CODES, MESSAGE, CODE = f"{QUANTIZER}/quantize/codes.safetensors", f"{QUANTIZER}/encode/model.sbq", f"{QUANTIZER}/encode/code.json"
DECODED, QUANTIZED_SCORES, BOUNDS = f"{QUANTIZER}/decode/decoded.json", f"{QUANTIZER}/score/scores.parquet", f"{QUANTIZER}/bound/bounds.json"


def rules(plan):
    made = {"model": RESOLVED, "architecture": ARCHITECTURE, "calibration": windows_of("calibration")}
    coded = {"quantizer": alternatives(plan.quantizers_of("coded"))}
    on_grids = {"quantizer": alternatives(name for name in plan.config.quantizers if name not in plan.quantizers_of("coded"))}
    settings = lambda w: plan.config.quantizers[w.quantizer].model_dump(mode="json")  # noqa: E731
    priced = lambda w: plan.config.quantizers[w.quantizer].exchange is None  # noqa: E731
    threads = lambda w: plan.threads_of(plan.row(w.family, w.slug))  # noqa: E731
    return [
        Rule(
            "quantize",
            "quantize",
            inputs=made,
            outputs={"out": CODES, "out_report": f"{QUANTIZER}/quantize/quantization.json"},
            record=f"{QUANTIZER}/quantize/run.json",
            settings=settings,
            options=lambda w: {"device": plan.config.scoring.device},
            constraints=on_grids,
            threads=True,
            gpu=True,
        ),
        Rule(
            "compress",
            "compress",
            inputs=made | {"tuning": windows_of("tuning"), "price": lambda w: PRICE.format(**vars(w)) if priced(w) else []},
            outputs={"out": CODES, "out_message": MESSAGE, "out_report": CODE},
            record=f"{QUANTIZER}/encode/run.json",
            settings=settings,
            options=lambda w: {"predictions": plan.row(w.family, w.slug).tokens_seen, "device": plan.config.scoring.device, "threads": threads(w)},
            cores=threads,
            vouches={"out_report": ("out_message",)},
            constraints=coded,
            gpu=True,
            priority=1,
        ),
        Rule(
            "encode",
            "encode",
            inputs={"codes": CODES, "architecture": ARCHITECTURE},
            outputs={"out": MESSAGE, "out_report": CODE},
            record=f"{QUANTIZER}/encode/run.json",
            settings=settings,
            vouches={"out_report": ("out",)},
            constraints=on_grids,
        ),
        Rule(
            "decode",
            "decode",
            inputs={"message": MESSAGE, "architecture": ARCHITECTURE},
            outputs={},
            beside={"decoded": DECODED, "config": f"{QUANTIZER}/decode/config.json", "weights": f"{QUANTIZER}/decode/model.safetensors"},
            record=f"{QUANTIZER}/decode/run.json",
            options=lambda w: {"out": DECODED.format(**vars(w)).rpartition("/")[0]},
            vouches={"decoded": ("config", "weights")},
        ),
        score(plan, "score_quantized", f"{QUANTIZER}/score", DECODED, windows_of("score"), beside_references=True),
        bound(plan, "bound", QUANTIZER, CODE, QUANTIZED_SCORES, lambda w: w.quantizer),
    ]


def bound(plan, name, folder, code, scores, quantizer, constraints=None):
    """The rule that bounds what was scored at `scores`, whose length is in `code`; `quantizer` is a function of the wildcards: what it is called."""
    return Rule(
        name,
        "bound",
        inputs={"model": RESOLVED, "code": code, "windows": windows_of("score"), "scores": SCORES, "quantized_scores": scores}
        | {"heldout": lambda w: [HELDOUT_SCORES.format(**vars(w))] if plan.row(w.family, w.slug).stream in plan.streams_of_kind("wheels") else []},
        outputs={"out": f"{folder}/bound/bounds.json"},
        record=f"{folder}/bound/run.json",
        settings=lambda w: plan.config.bound.model_dump() | {"quantizer": quantizer(w), "starts": plan.config.certificate.starts[1:]},
        constraints=constraints or {},
    )


def papers(plan, path):
    """A path of a quantizer, of the one that the paper's recipe takes."""
    return path.replace("{quantizer}", plan.config.paper_quantizer)
