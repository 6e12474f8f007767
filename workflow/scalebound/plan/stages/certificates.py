"""Certificates: bounds that hold as computed, for the decoded model of one quantizer, with a draw of their own.

results/{family}/{slug}/quantizers/{quantizer}/certificate/
    scores.parquet      the decoded model on the draw
    certificate.json    the bound with its terms, grids, choices, division of the failure probability, identities
    model.sbq, architecture.json, windows.parquet, references.safetensors    copies: `scalebound verify` needs this folder alone
    true_risk.json      on an oracle's stream: the mean conditional risk that the certificate bounds, computed exactly
results/{family}/certificates.csv    the way from the paper's recipe to the certificate, step by step
"""

from scalebound.plan.rule import QUANTIZER, Rule
from scalebound.plan.stages.checkpoints import ARCHITECTURE, HISTORY, RESOLVED, averages_of, score, windows_of
from scalebound.plan.stages.corpus import oracle_files, oracle_folder
from scalebound.plan.stages.family import bounds_of, table
from scalebound.plan.stages.quantizers import CODE, DECODED, MESSAGE

FOLDER = f"{QUANTIZER}/certificate"
COPIES = ("model.sbq", "architecture.json", "windows.parquet", "references.safetensors")
CERTIFICATE, TRUE_RISK = f"{FOLDER}/certificate.json", f"{FOLDER}/true_risk.json"


def rules(plan):
    row = lambda w: plan.row(w.family, w.slug)  # noqa: E731
    settings = plan.config.certificate
    return [
        score(plan, "score_certify", FOLDER, DECODED, windows_of("certify"), beside_references=True),
        Rule(
            "certify",
            "certify",
            inputs={"model": RESOLVED, "code": CODE, "message": MESSAGE, "architecture": ARCHITECTURE, "windows": windows_of("certify")}
            | {"scores": f"{FOLDER}/scores.parquet"}
            | {
                "history": lambda w: HISTORY.format(**vars(w)) if plan.method_of(row(w)) == "online" else [],
                "averages": lambda w: next(iter(averages_of(row(w))), []) if plan.method_of(row(w)) == "online" else [],
            },
            outputs={"out": CERTIFICATE},
            beside={name: f"{FOLDER}/{name}" for name in COPIES},
            record=f"{FOLDER}/run.json",
            # without what is only shown beside certificates, and which others there are: it must not make any of them again
            settings=lambda w: _settings(plan, row(w)) | {"untuned": None},
            recorded=lambda w: _settings(plan, row(w)),
            vouches={"out": (*COPIES, "scores")},
        ),
        Rule(
            "true_risk",
            "true-risk",
            inputs={"tokens": lambda w: plan.run_rows(row(w).repo, "tokens.bin"), "stream": lambda w: plan.run_rows(row(w).repo, "stream.json")}
            | {"model": RESOLVED, "decoded": DECODED, "certificate": CERTIFICATE},
            outputs={"out": TRUE_RISK},
            record=f"{FOLDER}/true_risk.run.json",
            implied=lambda w: oracle_files(plan.stream_of(row(w))),
            options=lambda w: {"oracle": oracle_folder(plan.stream_of(row(w)))},
        ),
        table(
            "certificates",
            "certificates.csv",
            name="certificates",
            inputs={
                "certificates": lambda w: certificates_of(plan, w.family),
                "bounds": lambda w: bounds_of(plan, w.family),
                "true_risks": lambda w: true_risks_of(plan, w.family),
            },
            settings=lambda w: {"paper_quantizer": plan.config.paper_quantizer, "untuned": settings.untuned},
            report=("certificates", "certificates"),
        ),
    ]


def _settings(plan, row):
    settings = plan.config.certificate.model_copy(update={"method": plan.method_of(row)})
    return settings.model_dump(mode="json", exclude={"untuned", "checkpoints"}) | plan.config.bound.model_dump(mode="json", include={"ceilings", "online"})


def certificates_of(plan, family):
    """The files that the table of certificates is made from, checkpoint by checkpoint."""
    return [CERTIFICATE.format(family=family, slug=row.slug, quantizer=plan.config.certificate.quantizer) for row in plan.certified_of(family)]


def true_risks_of(plan, family):
    """The true risks of the family's checkpoints on oracle streams."""
    rows = [row for row in plan.certified_of(family) if plan.stream_of(row).kind == "oracle"]
    return [TRUE_RISK.format(family=family, slug=row.slug, quantizer=plan.config.certificate.quantizer) for row in rows]
