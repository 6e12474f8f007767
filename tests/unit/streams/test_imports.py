"""The stages of the hub start quickly: what takes seconds to import is imported where it is used."""

import subprocess
import sys

CODE = """
import sys
import scalebound.hub.revisions, scalebound.hub.snapshot, scalebound.hub.ranges
import scalebound.streams.megatron, scalebound.streams.parquet, scalebound.streams.hub_dataset, scalebound.streams.protocol
print(sorted({"torch", "transformers", "datasets", "huggingface_hub"} & set(sys.modules)))
"""


def test_nothing_heavy_is_imported_with_the_modules():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
