"""`manifest.tsv`: every artifact of a results folder with its digest."""

COLUMNS = ("path", "stage", "bytes", "sha256", "code")


def manifest_text(rows):
    """The table's text, of the manifest of an `Audit`."""
    return "".join("\t".join(map(str, row)) + "\n" for row in (COLUMNS, *sorted(rows)))
