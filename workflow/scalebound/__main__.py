import sys

from scalebound import warm
from scalebound.commands import described

if __name__ == "__main__":
    command = described(sys.argv[1]) if sys.argv[1:] else None
    status = warm.run(sys.argv[1:]) if command is not None and not command.network else None
    if status is None:
        from scalebound.cli import console

        status = console()
    sys.exit(status)
