"""`scalebound STAGE ...`: one subcommand per rule of the workflow, each in its own module under `commands`."""

import argparse
import errno
import importlib
import os
import sys

import scalebound
from scalebound.errors import InputError, first_line, printable

_REMEDIES = {
    errno.ENOSPC: "Free some space, then run the same command again: nothing half-written was left",
    errno.EDQUOT: "Free some of the quota, then run the same command again: nothing half-written was left",
    errno.EROFS: "Run in a folder that can be written",
    errno.EACCES: "Make the folder writable, or run in another one",
    errno.EPERM: "Make the folder writable, or run in another one",
    errno.EISDIR: "Name a file, not a folder",
    errno.ENOTDIR: "Name a folder where one is wanted",
    errno.ENAMETOOLONG: "Shorten the name",
    errno.EFBIG: "Write to a file system that takes larger files",
    errno.EIO: "Check the disk, then run the same command again",
}

COMMANDS = {
    "fetch-corpus": "download the pinned wheels of a stream (network)",
    "documents": "list, order and split the documents of a stream",
    "tokenizer": "train the byte-level BPE tokenizer of a stream",
    "tokenize": "turn the training documents into rows of tokens",
    "generate": "draw the rows of an oracle stream from a trained model",
    "train": "train one model of the ladder",
    "resolve-hub": "commit and weight files of a released checkpoint (network)",
    "fetch": "fetch a released checkpoint and verify it (network)",
    "resolve": "fix the identity of a checkpoint: files, digests, architecture",
    "resolve-stream": "where the rows of a released stream are (network)",
    "fetch-windows": "draw windows from a stream of the hub (network)",
    "sample": "draw windows from the rows that a checkpoint saw",
    "score": "loss and entropy of every token of the windows",
    "quantize": "map every parameter to integers and scales",
    "compress": "the shortest code of a good hypothesis: rounding by sensitivity, tuning, entropy coding",
    "encode": "write the quantized model as one self-contained message",
    "decode": "rebuild the quantized model from its message",
    "bound": "generalization bounds of one quantized checkpoint",
    "table": "collect the bounds of a family",
    "certify": "certificate of a decoded model, from a draw of its own",
    "true-risk": "the exact risk on an oracle stream beside the certificate",
    "certificates": "collect the certificates of a family",
    "verify": "check a certificate from its folder alone",
    "compare": "put a family's bounds beside published ones",
    "loss-curves": "loss and information along the training of a family's models",
    "scaling-law": "fit Chinchilla's law to a family's loss curves",
    "information": "bounds with the information content as code length (an estimate)",
    "references": "what a decoded model expects of its own loss at every token",
    "ablate": "the paper's bound with one choice changed at a time",
    "ablations": "collect the ablations of a family",
    "gap-law": "the gap against tokens, its exponent, and what laws predict",
    "overtraining": "the bound's terms over sizes and tokens under the laws",
    "score-trajectory": "score every kept checkpoint of a run, unquantized and quantized",
    "bound-trajectory": "bounds of every kept checkpoint of a run",
    "trajectory": "collect the bounds along training of a family",
    "heldout": "draw windows from the held-out documents of a stream",
    "baseline": "held-out loss and bound for documents of a checkpoint",
    "baselines": "collect what the bounds of a family are compared with",
    "quantizability": "what rounding costs against bits per parameter, for each quantizer of a family",
    "moments": "spectra of the second moments of the inputs of every linear layer",
    "spectra": "collect those spectra of a family, with what they say of rounding",
    "hessian": "spectral density of the loss Hessian by stochastic Lanczos quadrature",
    "hessian-summary": "collect trace, ends and shares of a family's Hessians",
    "hessian-nodes": "collect the nodes and weights of a family's Hessians",
    "figures": "draw the figures of a family",
    "audit": "check every artifact, recorded input and number under results/",
    "crate": "describe the results as an RO-Crate: which job made each file, from what",
    "summary": "print the table of a family in the terminal",
    "resolved-config": "write the configuration of a family with every default filled in",
    "paper-plan": "what a run on released checkpoints will take (network)",
    "bench-score": "scoring speed and memory of models in Pythia's shapes",
    "schema": "write the JSON schemas of the configuration",
    "digest": "print the code digest of a stage",
}

NETWORK = ("fetch-corpus", "resolve-hub", "fetch", "resolve-stream", "fetch-windows", "paper-plan")


def console():
    """The command of this process: what it may do is settled before anything that could connect is imported."""
    if sys.argv[1:2] and sys.argv[1] not in NETWORK:
        # read by the hub's client when it is imported: whatever asks for a file gets the cached one or an error
        os.environ["HF_HUB_OFFLINE"] = "1"
    return main(sys.argv[1:])


def main(argv):
    argv = list(argv)
    parser = _parser()
    # only the chosen command's module is imported: `bound` must not pay for torch
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    if chosen is None:
        parser.parse_args([word for word in argv if word.startswith("-")])
        parser.error(f"unknown command {argv[0]!r}; see scalebound --help" if argv else "no command; see scalebound --help")
    module = importlib.import_module(f"scalebound.commands.{chosen.replace('-', '_')}")
    command = argparse.ArgumentParser(prog=f"scalebound {chosen}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(command)
    command.add_argument("--record", metavar="JSON", help="also write time, memory, host and git state of this run here")
    return _run(chosen, module, command.parse_args(argv[1:]), argv[1:])


def _run(name, module, arguments, argv):
    from scalebound.artifacts.provenance import Recorder

    recorder = Recorder(name, argv)
    try:
        outputs = module.run(arguments)
        if arguments.record:
            recorder.write(arguments.record, outputs)
    except InputError as error:
        return _report(name, error)
    except MemoryError as error:
        return _report(name, f"out of memory ({first_line(error)}). Run on a machine with more, or check that the inputs are what they should be")
    except OSError as error:
        return _report_full_or_forbidden(name, error)
    return 0


def _report_full_or_forbidden(name, error):
    """A disk that is full or a folder that may not be written is the user's to mend; anything else is a defect."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if error.errno not in _REMEDIES:
        raise error
    where = error.filename or "output"
    return _report(name, f"{where}: {os.strerror(error.errno)}. {_REMEDIES[error.errno]}")


def _report(name, problem):
    print(f"scalebound {name}: error: {printable(problem)}", file=sys.stderr)
    return 1


def _parser():
    lines = "\n".join(f"  {name:18s}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="scalebound",
        usage="scalebound [-h] [--version] COMMAND ...",
        description=f"{scalebound.__doc__}\n\ncommands:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scalebound {scalebound.__version__}")
    return parser
