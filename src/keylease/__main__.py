"""``python -m keylease`` and the ``keylease`` command."""

import gc
import os
import sys


def run() -> None:
    """Run the command line and end the process with its exit code."""
    _open_standard_streams()
    # A lease makes no garbage worth collecting, and each of its imports would look for some; `exec` turns it on again.
    gc.disable()
    from keylease.cli import main
    from keylease.leave import leave

    leave(main(sys.argv[1:]))


def _open_standard_streams() -> None:
    """Put /dev/null where we were started with a closed descriptor.

    Otherwise the next file or pipe that is opened would be taken for standard input, output or error.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    run()
