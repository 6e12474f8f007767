"""
Streams that the workflow makes from pinned wheels.

in   the network (fetch_corpus only), the stream's section of the configuration
out  results/streams/{stream}/wheels/*.whl          the sources, checked against their sha256
     results/streams/{stream}/documents.parquet     manifest: position, split, wheel, path, bytes, sha256
     results/streams/{stream}/tokenizer.json        byte-level BPE, trained on the documents set apart for it
     results/streams/{stream}/rows{rows}/tokens.bin the first rows of the stream, uint16, with stream.json beside it

A longer stream is another folder, of which every shorter one is a prefix: a larger model to train changes no file that
the others depend on.
"""

# one job for each stream: the names of its wheels are known only from the configuration
for stream in PLAN.streams_of_kind("wheels"):

    rule:
        name:
            f"fetch_corpus_{stream}".replace("-", "_").replace(".", "_")
        output:
            wheels=PLAN.wheel_files(stream),
            listing=f"results/streams/{stream}/wheels/fetched.json",
            record=f"results/streams/{stream}/wheels/run.json",
        log:
            f"results/streams/{stream}/wheels/fetch-corpus.log",
        conda:
            "../../envs/scalebound.yaml"
        params:
            settings=PLAN.stream_settings(stream),
            folder=subpath(output.listing, parent=True),
            code=digest("fetch-corpus"),
        shell:
            "python -m scalebound fetch-corpus --settings {params.settings:q} --folder {params.folder:q}"
            " --record {output.record:q} 2>&1 | tee {log:q}"


rule documents:
    input:
        wheels=lambda w: PLAN.wheel_files(w.stream),
    output:
        documents="results/streams/{stream}/documents.parquet",
        record="results/streams/{stream}/documents.run.json",
    log:
        "results/streams/{stream}/documents.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.stream_settings(w.stream),
        code=digest("documents"),
    shell:
        "python -m scalebound documents --settings {params.settings:q} --wheels {input.wheels:q}"
        " --out {output.documents:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule tokenizer:
    input:
        wheels=lambda w: PLAN.wheel_files(w.stream),
        documents="results/streams/{stream}/documents.parquet",
    output:
        tokenizer="results/streams/{stream}/tokenizer.json",
        identity="results/streams/{stream}/tokenizer.identity.json",
        record="results/streams/{stream}/tokenizer.run.json",
    log:
        "results/streams/{stream}/tokenizer.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.stream_settings(w.stream),
        folder=lambda w, input: input.wheels[0].rpartition("/")[0],
        code=digest("tokenizer"),
    shell:
        "python -m scalebound tokenizer --settings {params.settings:q} --documents {input.documents:q}"
        " --wheels {params.folder:q} --out {output.tokenizer:q} --out-identity {output.identity:q}"
        " --record {output.record:q} 2>&1 | tee {log:q}"


rule tokenize:
    input:
        wheels=lambda w: PLAN.wheel_files(w.stream),
        documents="results/streams/{stream}/documents.parquet",
        tokenizer="results/streams/{stream}/tokenizer.json",
    output:
        tokens="results/streams/{stream}/rows{rows}/tokens.bin",
        stream="results/streams/{stream}/rows{rows}/stream.json",
        record="results/streams/{stream}/rows{rows}/run.json",
    log:
        "results/streams/{stream}/rows{rows}/tokenize.log",
    wildcard_constraints:
        stream=alternatives(PLAN.streams_of_kind("wheels")),
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.rows_settings(w.stream, w.rows),
        folder=lambda w, input: input.wheels[0].rpartition("/")[0],
        code=digest("tokenize"),
    shell:
        "python -m scalebound tokenize --settings {params.settings:q} --documents {input.documents:q}"
        " --wheels {params.folder:q} --tokenizer {input.tokenizer:q} --rows {wildcards.rows:q}"
        " --out {output.tokens:q} --out-stream {output.stream:q} --record {output.record:q} 2>&1 | tee {log:q}"
