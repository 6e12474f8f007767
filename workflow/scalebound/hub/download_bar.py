"""Progress of a download: of the client's three bars the one that counts bytes, as this package shows progress."""

from tqdm import tqdm

from scalebound.progress import progress


def download_bar(desc="", total=None, unit="", **_):
    """What `snapshot_download` takes for a bar class; the bars of files and of reconstruction repeat what the bytes say."""
    if unit == "B" and desc.startswith("Download"):
        return progress(total, "B", "download")
    return tqdm(disable=True, total=total)
