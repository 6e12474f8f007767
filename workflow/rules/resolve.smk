"""
The identity of a checkpoint: from here on a trained and a released checkpoint look the same.

in   the folder of the weights
out  results/{family}/{slug}/resolve/resolved.json      folder, sha256 of every file, parameters, row of the table
     results/{family}/{slug}/resolve/architecture.json  what a decoder may know before any data is seen
"""


rule resolve:
    input:
        config=lambda w: PLAN.checkpoint_file(w.family, w.slug, "config.json"),
        weights=lambda w: PLAN.checkpoint_file(w.family, w.slug, "model.safetensors"),
    output:
        resolved="results/{family}/{slug}/resolve/resolved.json",
        architecture="results/{family}/{slug}/resolve/architecture.json",
        record="results/{family}/{slug}/resolve/run.json",
    log:
        "results/{family}/{slug}/resolve/resolve.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.row_settings(w.family, w.slug),
        folder=subpath(input.weights, parent=True),
        code=digest("resolve"),
    shell:
        "python -m scalebound resolve --settings {params.settings:q} --folder {params.folder:q}"
        " --out {output.resolved:q} --out-architecture {output.architecture:q} --record {output.record:q} 2>&1 | tee {log:q}"
