import sys

from scalebound.cli import console

if __name__ == "__main__":
    sys.exit(console())
