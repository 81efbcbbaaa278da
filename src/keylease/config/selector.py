"""Which value of a secret: ``field``, ``outer.inner``, ``list[0].name``, ``"key.with.dots"``.

The plain part of JSONata (https://docs.jsonata.org/simple), which vault-action's users write.
"""

import re

_STEP = re.compile(
    r"""
    (?: "(?P<double>[^"]*)" | `(?P<tick>[^`]*)` | (?P<bare>[^."`\[\]\s]+) )
    (?P<indexes> (?: \[ [0-9]{1,6} \] )* )
    """,
    re.VERBOSE,
)

# What makes a bare step an expression in JSONata; a field that really has such a name is written in quotes.
_EXPRESSION = re.compile(r"[(){}$&?^*!~=<>,';|]")

SYNTAX = 'write field, outer.inner, list[0] or "name.with.dots"; other JSONata is not supported'


class SelectorError(ValueError):
    """A selector that is not one; the text says why, without quoting it."""


def parse(text: str) -> tuple[str, ...]:
    """The steps of `text`, from the top down. Raises :class:`SelectorError`."""
    steps: list[str] = []
    at = 0
    while True:
        step = _STEP.match(text, at)
        if not step:
            raise SelectorError("an empty step" if not text[at:] or text[at] == "." else "not a field or path")
        bare = step["bare"]
        if bare is not None and _EXPRESSION.search(bare):
            raise SelectorError("an expression, not a field or path")
        name = next(part for part in (step["double"], step["tick"], bare) if part is not None)
        if not name:
            raise SelectorError("an empty step")
        steps.append(name)
        steps += re.findall(r"[0-9]+", step["indexes"])
        at = step.end()
        if at == len(text):
            return tuple(steps)
        if text[at] != ".":
            raise SelectorError("not a field or path")
        at += 1
