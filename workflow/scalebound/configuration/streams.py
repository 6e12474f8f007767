"""Training streams as the configuration names them, one model for each kind."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scalebound.configuration.types import LocalPath, Model, Repo, Revision, Seed, Sha256, Slug, spelled

ROW_TOKENS = Field(ge=2, le=65536, description="tokens of a row; a row holds row_tokens - 1 predictions")
VOCAB_SIZE = Field(ge=1, le=2**31, description="every token id of the stream is below it")
PIN = Field(None, description="expected digest of tokens.bin")


PYTHON = (".py",)
# words of messages are noted when a type is made: outside of the models, so that an edit of one of these is no edit of all
Suffix = spelled(r"^\.[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", "write the end of a file name: a point, then letters, digits, `.`, `_` and `-`")
Distribution = spelled(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "write the name of a distribution: letters, digits, `.`, `_` and `-`")
Version = spelled(r"^[0-9][A-Za-z0-9.+!]*$", "write a version: a digit, then letters, digits, `.`, `+` and `!`")
WheelFile = spelled(r"^[A-Za-z0-9][A-Za-z0-9._+-]*\.whl$", "write the file name of a wheel, .whl at its end")
PathPattern = spelled(r"^[A-Za-z0-9_.*?/-]{1,256}$", "write a pattern of paths: letters, digits, `_`, `.`, `-`, `/`, `*` and `?`")
Column = spelled(r"^[A-Za-z0-9_.-]{1,64}$", "write the name of a column: letters, digits, `_`, `.` and `-`")


class Wheel(Model):
    """A pinned pure-Python distribution whose files are data; it is never installed or imported."""

    name: Distribution
    version: Version
    file: WheelFile = Field(description="file name of the wheel")
    sha256: Sha256


class TokenizerSettings(Model):
    vocab_size: int = Field(ge=257, le=65536, description="256 bytes, one end-of-document token, and the merges")
    sha256: Sha256 | None = Field(None, description="expected digest of tokenizer.json")


class _Stream(Model):
    """What every kind says of itself, unless it knows more.

    Each kind has `unbiased` too, as a key or a property: whether a uniform draw of its rows is one of what a checkpoint saw.
    """

    @property
    def ordered(self):
        """Whether a checkpoint saw the first rows, in number those of its tokens; else all rows stand for what it saw."""
        return False


class _MadeHere(_Stream):
    """A stream whose rows the workflow makes itself, in one order: each training run reads the first ones, a larger run those of a smaller one first."""

    @property
    def ordered(self):
        return True

    @property
    def unbiased(self):
        return True


class _Brought(_Stream):
    """A stream that the workflow does not make, of checkpoints that were trained elsewhere, in one pass or in several.

    A bound's n counts each prediction of the stream once, however often the optimizer came back to it.
    """

    first_pass_rows: int | None = Field(
        None,
        ge=1,
        description="distinct rows that there were to train on: what was read after them had been read before; null: no row twice",
    )

    @property
    def most_predictions(self):
        """The largest n of a checkpoint of the stream: the predictions of one pass. None where nobody saw a row twice."""
        return None if self.first_pass_rows is None else self.first_pass_rows * (self.row_tokens - 1)

    def predictions_seen(self, step):
        """Distinct predictions that `step` steps have seen; None where each model has a batch of its own."""
        return None


class WheelStream(_MadeHere):
    """A training stream made by the workflow from files of pinned wheels: Python sources, or text of another kind."""

    kind: Literal["wheels"]
    wheels: list[Wheel] = Field(min_length=1)
    # left out of what is recorded where it is the default, so that results of streams that do not name it stay theirs
    suffixes: list[Suffix] = Field(list(PYTHON), min_length=1, exclude_if=lambda names: tuple(names) == PYTHON, description="ends of the names of documents")
    document_seed: Seed = Field(description="order of the documents, of which the first are set apart")
    row_seed: Seed = Field(description="order of the rows that the documents for training are cut into")
    tokenizer_fraction: float = Field(gt=0, lt=0.5, description="share of the bytes that only the tokenizer sees")
    heldout_fraction: float = Field(gt=0, lt=0.5, description="share of the bytes that no model is trained on")
    tokenizer: TokenizerSettings
    row_tokens: int = ROW_TOKENS
    sha256: Sha256 | None = PIN

    @model_validator(mode="after")
    def _distinct_wheels(self):
        refuse_duplicates([wheel.file for wheel in self.wheels], "wheels")
        refuse_duplicates(self.suffixes, "suffixes")
        return self


class OracleStream(_MadeHere):
    """A training stream that the workflow draws from a checkpoint of its own, the oracle: of what is trained on it the true risk is known.

    Its rows are independent draws, so that they need no other order than that in which they are drawn.
    """

    kind: Literal["oracle"]
    run: Slug = Field(description="training run of the oracle")
    step: int = Field(ge=1, description="step of that run whose checkpoint is the oracle")
    seed: Seed
    rows: int = Field(ge=1, description="rows that are drawn, as many as the longest of its training runs sees")
    row_tokens: int = ROW_TOKENS
    vocab_size: int = Field(ge=1, le=65536, description="the oracle's vocabulary")
    sha256: Sha256 | None = PIN


class MegatronStream(_Brought):
    """Rows of tokens in training order, in Megatron's format: shards of one memory map with an index beside them.

    From a dataset of the hub, of which only the wanted rows are read, or from a folder.
    """

    kind: Literal["megatron"]
    repo: Repo | None = Field(None, description="dataset of the hub")
    revision: Revision | None = Field(None, description="its commit, or a branch that is resolved to one")
    folder: LocalPath | None = Field(None, description="local folder with the same files, in place of repo")
    row_tokens: int = ROW_TOKENS
    rows_per_step: int = Field(ge=1, description="rows in an optimizer step: step T saw rows [0, rows_per_step T), of these no more than first_pass_rows")
    vocab_size: int = VOCAB_SIZE
    unbiased: bool = Field(description="whether the checkpoints read these rows in this order; false: in another, which makes all an approximation")

    @model_validator(mode="after")
    def _one_place(self):
        if (self.repo is None) == (self.folder is None):
            raise ValueError("give either repo, with its revision, or folder")
        if (self.repo is None) != (self.revision is None):
            raise ValueError("repo and revision go together")
        return self

    def predictions_seen(self, step):
        seen = step * self.rows_per_step * (self.row_tokens - 1)
        return seen if self.most_predictions is None else min(seen, self.most_predictions)

    @property
    def ordered(self):
        return True


class HubDatasetStream(_Brought):
    """A text dataset of the hub, for families whose order is not published: an approximation of what they saw."""

    kind: Literal["hub_dataset"]
    repo: Repo
    revision: Revision = Field(description="commit, or a branch that is resolved to one; parquet files are read from it")
    files: PathPattern = Field("**.parquet", description="which files, as a pattern")
    text_column: Column = "text"
    tokenizer_repo: Repo = Field(description="model whose tokenizer is the checkpoints' own")
    tokenizer_revision: Revision
    end_of_document: int = Field(ge=0, lt=2**31, description="token id that ends each document")
    begin_of_document: int | None = Field(None, ge=0, lt=2**31, description="token id that begins each document; null: none, as with GPT-2 and GPT-NeoX")
    row_groups: int = Field(64, ge=1, description="row groups drawn for a sample")
    row_tokens: int = ROW_TOKENS
    vocab_size: int = VOCAB_SIZE

    @property
    def unbiased(self):
        return False


class ParquetStream(_Brought):
    """Windows that the user brings: a parquet file with a column `tokens` of equally long lists."""

    kind: Literal["parquet"]
    path: LocalPath
    sha256: Sha256
    row_tokens: int = ROW_TOKENS
    vocab_size: int = VOCAB_SIZE
    unbiased: bool = Field(description="whether a uniform draw of its rows is one of what the checkpoints saw")


Stream = Annotated[WheelStream | OracleStream | MegatronStream | HubDatasetStream | ParquetStream, Field(discriminator="kind")]


# kinds whose rows the workflow makes itself
MADE_HERE = ("wheels", "oracle")


def is_remote(stream):
    """Whether reading windows of the stream needs the network."""
    return stream.kind == "hub_dataset" or (stream.kind == "megatron" and stream.repo is not None)


def refuse_duplicates(items, key):
    twice = sorted({item for item in items if items.count(item) > 1})
    if twice:
        raise ValueError(f"{key} names {twice[0]!r} twice")
