"""A stream that the workflow did not make on the audit page: where its rows are, and what fixes them."""

from scalebound.audit.page.values import size, whole

KINDS = {
    "megatron": "Rows of tokens in training order, in Megatron’s format.",
    "hub_dataset": "A text dataset of the hub, for checkpoints whose training order is not published: windows from it are an approximation of what they saw.",
    "parquet": "Windows that the user brought in a parquet file.",
}


def listing(section, stream):
    """resolved.json: settings, commit or folder, rows, files."""
    data = section.json(f"streams/{stream}/resolved.json", "resolve-stream")
    settings, found = data["stream"], data["found"]
    kind = str(settings["kind"])
    facts = [("kind", kind), ("place", _place(settings, found))]
    facts += [("tokens of a row", whole(settings["row_tokens"])), ("vocabulary V", whole(settings["vocab_size"]))]
    facts += [("rows", whole(found["rows"]))] if "rows" in found else []
    facts += [("rows of the first pass", whole(settings["first_pass_rows"]))] if settings.get("first_pass_rows") else []
    facts += [("sha256", str(found["sha256"]))] if "sha256" in found else []
    facts += [("a draw from it is", "approximate: no uniform draw of what the checkpoints saw" if is_approximate(settings) else "unbiased")]
    files = [*found.get("shards", []), *([found["index"]] if "index" in found else []), *found.get("files", [])]
    return {"what": KINDS.get(kind, ""), "facts": facts, "files": [(str(file["path"]), size(file["size"]), str(file.get("sha256", ""))) for file in files]}


def is_approximate(settings):
    return settings["kind"] == "hub_dataset" or not settings.get("unbiased", True)


def _place(settings, found):
    if "commit" in found:
        return f"{found['repo']} at commit {found['commit']}"
    return str(settings.get("folder") or settings.get("path"))
