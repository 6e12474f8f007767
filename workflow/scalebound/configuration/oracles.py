"""What a configuration may say of oracle streams: a checkpoint that exists, that was not trained on what it is to write, and rows enough."""


def check_oracles(streams, training):
    """Raise ValueError unless the oracle of each stream of kind oracle is a kept checkpoint that fits the stream.

    streams: {name: stream settings}. training: {name: TrainingRun}, whose streams all exist.
    """
    for name, stream in streams.items():
        if stream.kind == "oracle":
            _check_oracle(name, stream, streams, training)
            _check_origin(name, streams, training)
            _check_rows(name, stream, training)


def _check_oracle(name, stream, streams, training):
    where, run = f"streams.{name}", training.get(stream.run)
    if run is None:
        raise ValueError(f"{where}.run {stream.run!r} is not among the training runs {sorted(training)}")
    if stream.step not in run.kept_steps():
        raise ValueError(f"{where}.step {stream.step} is not kept by run {stream.run!r}, which keeps {run.kept_steps()}")
    read = streams[run.stream]
    if stream.row_tokens > read.row_tokens:
        raise ValueError(f"{where}.row_tokens {stream.row_tokens} is more than the {read.row_tokens} that its oracle was trained on")
    vocab_size = read.tokenizer.vocab_size if read.kind == "wheels" else read.vocab_size
    if stream.vocab_size != vocab_size:
        raise ValueError(f"{where}.vocab_size {stream.vocab_size} is not its oracle's, {vocab_size}")


def _check_rows(name, stream, training):
    for reader, run in training.items():
        if run.stream == name and run.rows > stream.rows:
            raise ValueError(f"streams.{name}.rows {stream.rows} is less than the {run.rows} that run {reader!r} reads")


def _check_origin(name, streams, training):
    """Following oracles back must end at a stream that none wrote."""
    seen = []
    while streams[name].kind == "oracle":
        if name in seen:
            raise ValueError(f"streams.{name} is written by an oracle that was trained on it: {' <- '.join([*seen, name])}")
        seen.append(name)
        run = training.get(streams[name].run)
        # a run that does not exist has its own message
        if run is None:
            return
        name = run.stream
