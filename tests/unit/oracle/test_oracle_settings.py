"""What a configuration may say of oracle streams and of epochs."""

import copy
from pathlib import Path

import pytest
import yaml

from scalebound.configuration import checkpoints
from scalebound.configuration.config import TrainingRun, parse_config
from scalebound.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def merged(base, changes):
    return {**base, **{k: merged(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in changes.items()}}


PRESET = merged(yaml.safe_load((ROOT / "config/config.yaml").read_text()), yaml.safe_load((ROOT / "config/oracle.yaml").read_text()))


def changed(**stream):
    value = copy.deepcopy(PRESET)
    value["streams"]["oracle-200k"] |= stream
    return value


def test_the_preset_and_its_table_are_valid():
    config = parse_config(PRESET)
    rows = checkpoints.read_table(ROOT / config.checkpoints)
    checkpoints.check_against(rows, config)
    assert any(config.training[row.repo].epochs > 1 for row in rows)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"run": "nobody"}, "'nobody' is not among the training runs"),
        ({"step": 7818}, "is not kept by run"),
        ({"row_tokens": 258}, "more than the 257"),
        ({"vocab_size": 513}, "not its oracle's, 512"),
        ({"rows": 8265}, "rows 8265 is less than the 8266 that run 'oracle-110k' reads"),
        ({"run": "oracle-20k", "step": 1539}, "trained on it: oracle-200k <- oracle-200k"),
    ],
)
def test_an_oracle_that_cannot_be_is_refused(stream, message):
    with pytest.raises(InputError, match=message):
        parse_config(changed(**stream))


def test_an_oracle_of_an_oracles_student_is_no_circle():
    value = copy.deepcopy(PRESET)
    value["streams"]["second"] = value["streams"]["oracle-200k"] | {"run": "oracle-20k", "step": 1539}
    assert parse_config(value).streams["second"].run == "oracle-20k"


SETTINGS = {"stream": "s", "hidden_size": 8, "layers": 1, "heads": 1, "batch_rows": 3, "steps": 8, "epochs": 4}
SETTINGS |= {"learning_rate": 0.1, "warmup_steps": 0, "keep_every": 8, "seed": 1}


def test_rows_that_are_seen_again_are_not_counted_again():
    run = TrainingRun(**SETTINGS)
    assert run.rows == 6
    assert [run.rows_seen(step) for step in (1, 2, 3, 8)] == [3, 6, 6, 6]


def test_epochs_must_divide_what_is_seen():
    with pytest.raises(ValueError, match="no whole number of rows for each of 5 epochs"):
        TrainingRun(**SETTINGS | {"epochs": 5})


def test_the_table_must_count_distinct_predictions():
    """n is what the theorem is about; counting each epoch anew would make C too small and the bound wrong."""
    config = parse_config(PRESET)
    row = next(row for row in checkpoints.read_table(ROOT / config.checkpoints) if config.training[row.repo].epochs > 1)
    run = config.training[row.repo]
    assert row.tokens_seen == run.rows * 256
    wrong = row.model_copy(update={"tokens_seen": run.steps * run.batch_rows * 256})
    with pytest.raises(InputError, match="what is seen again not counted"):
        checkpoints.check_against([wrong], config)
