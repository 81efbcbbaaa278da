"""`python -m demo`: run the story, clean up whatever happens, and say with the exit code whether all was true."""

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from demo.screen import Screen, UntrueError
from demo.story import Story
from tests.servers.process import ServerError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _interrupt(number: int, _: FrameType | None) -> None:
    # Only once: a second Ctrl-C must not cut the cleaning up short.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def main() -> int:
    """Tell the story; 0 when every statement in it was true, 1 when one was not, 128 + n after a signal."""
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    screen = Screen(colours=colours)
    # Blocked while the directory and the handlers come into being: from here to the end, all of it is undone.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    directory = Path(tempfile.mkdtemp(prefix="keylease-demo-"))
    try:
        try:
            for number in SIGNALS:
                signal.signal(number, _interrupt)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            return _tell(screen, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    except Interrupted as interruption:
        screen.end(f"Stopped by {signal.Signals(interruption.number).name}; everything is cleaned up.", good=False)
        return 128 + interruption.number


def _tell(screen: Screen, directory: Path) -> int:
    started = time.monotonic()
    # The servers make their directories here, so that one removal takes them all. Others may pass, not look in.
    directory.chmod(0o711)
    tempfile.tempdir = str(directory)
    try:
        Story(screen, directory).tell()
    except UntrueError as error:
        screen.end(f"The demo failed: {error}", good=False)
        return 1
    except ServerError as error:
        screen.end(f"The demo could not start what it needs: {error}", good=False)
        return 1
    screen.end(f"All {screen.checks} statements marked ✓ were checked, in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
