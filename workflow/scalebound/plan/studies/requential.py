"""Students that were trained only on what their teacher, the run of a row, drew: their code lengths, losses and bounds.

results/{family}/{slug}/requential/{source}/student/...         config.json, model.safetensors, student.json; steps.parquet; code.json
results/{family}/{slug}/requential/{code}/student/student.bin    the message that one was trained again from
results/{family}/{slug}/requential/{source}/score/scores.parquet  of the student, as of a decoded model
results/{family}/{slug}/requential/{source}/bound/bounds.json    of students whose length is that of a code: an estimate
results/{family}/requential.csv                                  all of a family, beside its coded models

Sources are rows and stream, and the names of the codes by which rows are really sent.
"""

from scalebound.plan.rule import CHECKPOINT, Rule, alternatives
from scalebound.plan.stages.checkpoints import score, windows_of
from scalebound.plan.stages.family import table
from scalebound.plan.stages.quantizers import BOUNDS, bound
from scalebound.plan.studies.trajectory import rows_along
from scalebound.plan.study import Study
from scalebound.requential.lengths import quantizer_of

SOURCE = f"{CHECKPOINT}/requential/{{source}}"
FOLDER = f"{SOURCE}/student"
STUDENT, CODE = f"{FOLDER}/student.json", f"{FOLDER}/code.json"
STUDENT_SCORES, STUDENT_BOUNDS = f"{SOURCE}/score/scores.parquet", f"{SOURCE}/bound/bounds.json"


def rules(plan):
    codes = plan.config.studies.requential.codes
    students = lambda path, codes=False: lambda w: [path.format(family=w.family, slug=s, source=source) for s, source in students_of(plan, w.family, codes)]  # noqa: E731
    return [
        _student(plan, "teach", ("rows", "stream"), {}),
        _student(plan, "send", codes, {"out_message": f"{FOLDER}/student.bin"}),
        score(plan, "score_student", f"{SOURCE}/score", STUDENT, windows_of("score"), beside_references=True),
        bound(plan, "bound_student", SOURCE, CODE, STUDENT_SCORES, lambda w: quantizer_of(w.source), {"source": alternatives(("rows", *codes))}),
        table(
            "requential",
            "requential.csv",
            inputs={
                "codes": students(CODE),
                "scores": students(STUDENT_SCORES),
                "bounds": students(STUDENT_BOUNDS, codes=True),
                "beside": lambda w: [
                    BOUNDS.format(family=w.family, slug=row.slug, quantizer=name)
                    for row in _teachers(plan, w.family)
                    for name in sorted({plan.config.paper_quantizer, _beside(plan)})
                ],
            },
            settings=lambda w: {
                "checkpoints": [slug for slug, _ in students_of(plan, w.family)],
                "paper_quantizer": plan.config.paper_quantizer,
                "quantizer": _beside(plan),
            },
            report=("table", "students beside coded models"),
        ),
    ]


def students_of(plan, family, codes=False):
    """[(slug, source)] of the students of a family's runs; with `codes`, of those whose length is that of a code."""
    settings = plan.config.studies.requential
    found = [(row.slug, source) for row in _teachers(plan, family) for source in (*settings.sources, *settings.sent.get(row.repo, ()))]
    return [(slug, source) for slug, source in found if not codes or source != "stream"]


def _teachers(plan, family):
    """Rows whose run can teach: it keeps averages, and reads each row once."""
    runs = ((row, plan.run(row.repo)) for row in rows_along(plan, family))
    return [row for row, run in runs if run.references is not None and run.epochs == 1]


def _student(plan, name, sources, message):
    row, settings = (lambda w: plan.row(w.family, w.slug)), plan.config.studies.requential
    chosen = {"lesson_share": settings.lesson_share, "least_lesson": settings.least_lesson, "seed": settings.seed}
    return Rule(
        name,
        "student",
        inputs={"tokens": lambda w: plan.run_rows(row(w).repo, "tokens.bin"), "stream": lambda w: plan.run_rows(row(w).repo, "stream.json")},
        outputs={"out_steps": f"{FOLDER}/steps.parquet", "out_report": CODE} | message,
        beside={"student": STUDENT, "config": f"{FOLDER}/config.json", "weights": f"{FOLDER}/model.safetensors"},
        record=f"{FOLDER}/run.json",
        settings=lambda w: (
            chosen
            | {
                "run": plan.run(row(w).repo).model_dump(mode="json"),
                "step": row(w).step,
                "source": w.source,
                "code": settings.codes[w.source].model_dump() if message else None,
            }
        ),
        options=lambda w: {"name": row(w).repo, "out": FOLDER.format(**vars(w))},
        cores=lambda w: plan.threads_of(row(w)),
        vouches={"student": ("config", "weights")} | ({"out_report": ("out_message",)} if message else {}),
        constraints={"source": alternatives(sources)},
        priority=1,
    )


def _beside(plan):
    """The quantizer whose coded models stand beside the students: the certified one, or the paper's where there is none."""
    return plan.config.certificate.quantizer or plan.config.paper_quantizer


STUDY = Study(("requential.csv",), {"requential": "requential.csv"}, rules)
