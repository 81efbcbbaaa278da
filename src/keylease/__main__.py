"""``python -m keylease`` and the ``keylease`` command."""

import sys


def run() -> None:
    """Run the command line and end the process with its exit code."""
    from keylease.cli import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
