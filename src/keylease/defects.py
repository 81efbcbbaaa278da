"""Errors that are our own fault, told without what an exception's message may hold."""

import traceback

from keylease.errors import KeyleaseError


def defect(error: Exception) -> KeyleaseError:
    """A defect as an error for people: its type and place only, since any exception's text may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next(
        (f"{frame.filename.rpartition('keylease/')[2]}:{frame.lineno}" for frame in reversed(frames)), "unknown"
    )
    trail = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-8:]))
    return KeyleaseError(
        f"Keylease: a defect of ours: {type(error).__name__} at {place}",
        cause="this must not happen; a lease that could not be given back is named above, or left to the post step",
        change="report it with this message: https://github.com/keylease/keylease/issues",
        docs="defect",
        detail={"trail": trail},
    )
