"""scores.parquet back as one row a window, and nothing else in its place."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalebound.artifacts.parquet import read_in_parts, write_parquet
from scalebound.artifacts.provenance import KEY
from scalebound.artifacts.scores import read_scores
from scalebound.errors import InputError

IDENTITY = {"stage": "score", "inputs": {}, "settings": {}, "packages": {}, "code": "0"}
WINDOWS, POSITIONS = 3, 4
PLACES = np.divmod(np.arange(WINDOWS * POSITIONS), POSITIONS)


def saved(tmp_path, window=PLACES[0], position=PLACES[1], stage="score", **columns):
    path, count = tmp_path / "scores.parquet", len(window)
    values = {"nll": np.linspace(0, 1, count, dtype=np.float32), "entropy": np.linspace(2, 3, count, dtype=np.float32), **columns}
    table = pa.table({"window": window, "position": position, **{name: column for name, column in values.items() if column is not None}})
    write_parquet(path, table, {**IDENTITY, "stage": stage})
    return path


def test_one_row_a_window_in_float64(tmp_path):
    nll, entropy, identity = read_scores(saved(tmp_path))
    assert (nll.shape, entropy.shape) == ((WINDOWS, POSITIONS), (WINDOWS, POSITIONS))
    assert nll.dtype == entropy.dtype == np.float64
    assert np.array_equal(nll.ravel(), np.linspace(0, 1, 12, dtype=np.float32))
    assert np.array_equal(entropy.ravel(), np.linspace(2, 3, 12, dtype=np.float32))
    assert identity == IDENTITY


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"window": PLACES[0][::-1]}, "out of order"),
        ({"position": PLACES[1][::-1]}, "out of order"),
        ({"window": PLACES[0][:-1], "position": PLACES[1][:-1]}, "11 rows of 4 positions"),
        ({"window": PLACES[0][:0], "position": PLACES[1][:0]}, "0 rows of 0 positions"),
        ({"window": PLACES[0] + 1}, "out of order"),
        ({"nll": None}, "columns"),
        ({"entropy": ["x"] * 12}, "columns"),
        ({"stage": "sample"}, "sample"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(tmp_path, changes, named):
    with pytest.raises(InputError, match=r"scores\.parquet") as error:
        read_scores(saved(tmp_path, **changes))
    assert named in str(error.value)


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError):
        read_scores(path)
    path.unlink()
    with pytest.raises(InputError):
        read_scores(path)


def test_reading_in_parts_holds_a_part_whatever_the_file_holds(tmp_path):
    """Noise, so that the file is as large as its columns; a row group is as many rows as are written at once."""
    path, rows, groups = tmp_path / "large.parquet", 2**18, 16
    noise = np.random.default_rng(0).random(rows)
    with pq.ParquetWriter(path, pa.schema({"noise": pa.float64()}, metadata={KEY: b'{"stage": "score"}'})) as writer:
        for _ in range(groups):
            writer.write_table(pa.table({"noise": noise}, schema=writer.schema))
    before, most = pa.total_allocated_bytes(), 0
    for part in read_in_parts(path, ["noise"], rows // 4):
        most = max(most, pa.total_allocated_bytes() - before - part.nbytes)
    assert most < 3 * noise.nbytes < path.stat().st_size / 4
