"""A text of a given shape that several patterns with wildcards agree on, if there is one."""

from collections import deque
from collections.abc import Iterator, Sequence

from keylease.audit.aws_policy import plain

Wish = tuple[Sequence[str], bool]
"""Patterns, and whether one of them must match or none may."""

MAX_STATES = 4000
"""That are looked at before it gives up: a hostile pattern stays cheap."""


class Free(str):
    """A part of a shape that may be any text of one character or more, without those that this holds."""

    __slots__ = ()


def agreed(shape: Sequence[str], wishes: Sequence[Wish]) -> str | None:
    """The shortest text of `shape` (fixed texts and :class:`Free` parts) that meets all wishes; None: none was met."""
    patterns = list(dict.fromkeys(each for listed, _ in wishes for each in listed))
    letters = "".join(dict.fromkeys("".join(plain(each) for each in patterns if each))).replace("*", "")
    letters = next(each for each in "xyzqjk0123456789" if each not in letters or each == "9") + letters.replace("?", "")
    where = {pattern: number for number, pattern in enumerate(patterns)}
    wanted_ones = [[where[each] for each in listed] for listed, wanted in wishes if wanted]
    # Once its last * is reached, a pattern matches whatever follows.
    barred = [
        (where[each], len(each) - 1) for listed, wanted in wishes if not wanted for each in listed if each[-1:] == "*"
    ]

    def _is_lost(states: tuple[int, ...]) -> bool:
        if any(states[number] >> end & 1 for number, end in barred):
            return True
        return any(not any(states[number] for number in numbers) for numbers in wanted_ones)

    begin = (0, 0, tuple(_spread(each, 1) for each in patterns))
    seen, queue = {begin}, deque([(begin, "")])
    while queue and len(seen) < MAX_STATES:
        (part, offset, states), text = queue.popleft()
        if part == len(shape):
            ends = [state >> len(pattern) & 1 for state, pattern in zip(states, patterns, strict=True)]
            if all(any(ends[where[each]] for each in listed) is wanted for listed, wanted in wishes):
                return text
            continue
        for letter, place in _steps(shape, part, offset, letters):
            if letter:
                made = tuple(
                    _spread(pattern, _next(pattern, state, letter))
                    for pattern, state in zip(patterns, states, strict=True)
                )
            else:
                made = states
            after = (*place, made)
            if after not in seen and not _is_lost(made):
                seen.add(after)
                queue.append((after, text + letter))
    return None


def _steps(shape: Sequence[str], part: int, offset: int, letters: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """(letter, (part, offset)) that may follow; without a letter: a free part ends."""
    here = shape[part]
    if isinstance(here, Free):
        if offset:
            yield "", (part + 1, 0)
        yield from ((letter, (part, 1)) for letter in letters if letter not in here)
    elif here:
        yield here[offset], ((part + 1, 0) if offset + 1 == len(here) else (part, offset + 1))


def _next(pattern: str, state: int, letter: str) -> int:
    found = 0
    for index, mark in enumerate(pattern):
        if state >> index & 1:
            if mark == "*":
                found |= 1 << index
            elif mark == "?" or plain(mark) == letter:
                found |= 1 << (index + 1)
    return found


def _spread(pattern: str, state: int) -> int:
    """With the places that a ``*`` that matches nothing leads to."""
    for index, mark in enumerate(pattern):
        if mark == "*" and state >> index & 1:
            state |= 1 << (index + 1)
    return state
