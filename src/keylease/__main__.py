"""``python -m keylease`` and the ``keylease`` command."""

import gc
import sys


def run() -> None:
    """Run the command line and end the process with its exit code."""
    # A lease makes no garbage worth collecting, and each of its imports would look for some; `exec` turns it on again.
    gc.disable()
    from keylease.cli import main
    from keylease.leave import leave

    leave(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
