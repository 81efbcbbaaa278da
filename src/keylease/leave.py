"""End the process without taking the interpreter apart: that takes as long as a request to the vault."""

import atexit
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Run the exit handlers, flush, and end with `code`. Threads that are left are daemons: nobody waits for them."""
    atexit._run_exitfuncs()  # noqa: SLF001  # there is no public way short of ending the interpreter
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = code or os.EX_IOERR  # what was to be said did not arrive
    os._exit(code)
