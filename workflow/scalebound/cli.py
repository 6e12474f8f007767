"""`scalebound COMMAND ...`: one for each stage of the workflow and a few besides, each in its own module under `commands`."""

import argparse
import errno
import importlib
import os
import sys
import textwrap

import scalebound
from scalebound.commands import GROUPS, commands, described
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


def console():
    """The command of this process: what it may do is settled before anything that could connect is imported."""
    command = described(sys.argv[1]) if sys.argv[1:2] else None
    if command is None or not command.network:
        # read by the hub's client when it is imported: whatever asks for a file gets the cached one or an error
        os.environ["HF_HUB_OFFLINE"] = "1"
    return main(sys.argv[1:])


def main(argv):
    argv = list(argv)
    # only the chosen command's module is imported: `bound` must not pay for torch
    chosen = argv[0] if argv and described(argv[0]) else None
    if chosen is None:
        parser = _parser()
        parser.parse_args([word for word in argv if word.startswith("-")])
        parser.error(f"unknown command {argv[0]!r}; see scalebound --help" if argv else "no command; see scalebound --help")
    module = importlib.import_module(f"scalebound.commands.{chosen.replace('-', '_')}")
    return _run(chosen, module, parser_of(chosen, module).parse_args(argv[1:]), argv[1:])


def parser_of(name, module):
    """The parser of a command's words."""
    command = argparse.ArgumentParser(f"scalebound {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if hasattr(module, "compute"):
        from scalebound.commands import stage

        stage.add_arguments(command, module)
    else:
        module.add_arguments(command)
    command.epilog = f"example:\n  scalebound {name} {getattr(module, 'EXAMPLE', None) or _example(command)}"
    command.add_argument("--record", metavar="JSON", help="also write time, memory, host and git state of this run here")
    return command


def _example(command):
    """The words that a command needs, each file by the name that the workflow gives it: the first word of what is said of the option."""
    wanted = [action for action in command._actions if action.required or action.nargs == "*"]
    return " ".join(f"{action.option_strings[0]} {_sample(action)}" for action in wanted)


def _sample(action):
    if action.metavar == "JSON":
        return '"$(cat settings.json)"'
    return "1000" if action.type is int else action.help.split(" ")[0].rstrip(":;,")


def _run(name, module, arguments, argv):
    from scalebound.artifacts.provenance import Recorder
    from scalebound.commands import stage
    from scalebound.hub import surroundings

    recorder, kept = Recorder(name, argv), []

    def unfinished(folder, made_of):
        """A models.unfinished.Unfinished of this job: made here, it is no part of the digest of the code that makes results."""
        from scalebound.models.unfinished import Unfinished

        kept.append(Unfinished(folder, made_of, recorder))
        return kept[-1]

    arguments.unfinished = unfinished
    try:
        surroundings.check_importable()
        outputs = stage.run(name, module, arguments) if hasattr(module, "compute") else module.run(arguments)
        if arguments.record:
            recorder.write(arguments.record, outputs)
        for state in kept:
            state.remove()
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
    parser = argparse.ArgumentParser(
        prog="scalebound",
        usage="scalebound [-h] [--version] COMMAND ...",
        description=f"{scalebound.__doc__}\n\n{_listing()}",
        epilog="scalebound COMMAND --help shows the words of a command and an example; (network) marks those that may connect",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scalebound {scalebound.__version__}")
    return parser


def _listing():
    lines = []
    for group in GROUPS:
        lines.append(f"{group}:")
        for name, command in commands().items():
            if command.group == group:
                what = command.what if not command.network or "(network" in command.what else f"{command.what.removesuffix('.')} (network)"
                lines += textwrap.wrap(f"{name:18s}{what.removesuffix('.')}", 120, initial_indent="  ", subsequent_indent=" " * 20)
        lines.append("")
    return "\n".join(lines).rstrip()
