"""Which secrets a sync takes, and what they are called at the target."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from keylease.errors import UsageError

Case = Literal["upper", "lower", "keep"]

_WILD = re.compile(r"[*?\[]")
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
PLACEHOLDERS = ("path", "name", "field")
"""path: what the pattern's wildcards stand for, its segments joined by ``_``; the last segment where it has none.
name: the last segment. field: the field of the secret; empty for one taken as a whole.
"""


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards: ``*`` and ``?`` within a segment, ``**`` for any number of them, ``[abc]``."""
    return bool(_WILD.search(path))


class Pattern:
    """A path with wildcards, as a shell's, segment by segment."""

    def __init__(self, path: str) -> None:
        """Raises :class:`ValueError` with what is wrong."""
        segments = path.split("/")
        first = next((n for n, segment in enumerate(segments) if _WILD.search(segment)), len(segments) - 1)
        self.text = path
        self.parent = "/".join(segments[:first])
        """The path above the first segment with a wildcard: where to look."""
        self.prefix = _WILD.split(segments[first])[0] if first < len(segments) else ""
        """How the names to look for begin there."""
        self.deep = len(segments) - first > 1 or "**" in segments
        if any("**" in segment and segment != "**" for segment in segments):
            raise ValueError("`**` stands for whole segments: write a/**/b")
        self._matches = re.compile(_expression(segments), re.DOTALL)

    @property
    def sample(self) -> str:
        """A path like those meant, for checks of a path's form."""
        return re.sub(r"\[[^/]*?[^/\[]\]|[*?\[\]]", "x", self.text)

    def matches(self, path: str) -> bool:
        """Whether `path`, as a whole, is one of those meant."""
        return self._matches.fullmatch(path) is not None

    def below(self, path: str) -> str:
        """`path` without the parent that all matches share."""
        return path[len(self.parent) :].lstrip("/") if self.parent else path


def _expression(segments: Sequence[str]) -> str:
    found = ""
    for number, segment in enumerate(segments, 1):
        last = number == len(segments)
        if segment == "**" and not last and segments[number] == "**":
            continue  # several in a row say no more than one, and would be tried in all ways
        if segment == "**":
            found += ".+" if last else "(?:.+/)?"
        else:
            found += ("[^/]+" if segment == "*" else _segment(segment)) + ("" if last else "/")
    return found


def _segment(segment: str) -> str:
    found, at = "", 0
    while at < len(segment):
        char = segment[at]
        negated = segment[at + 1 : at + 2] == "!"
        end = segment.find("]", at + 2 + negated) if char == "[" else -1
        if char == "*":
            found += "[^/]*"
        elif char == "?":
            found += "[^/]"
        elif end > 0:
            found += _class(segment[at + 1 + negated : end], negated=negated)
            at = end
        else:
            found += re.escape(char)
        at += 1
    return found


def _class(inner: str, *, negated: bool) -> str:
    for first, last in zip(inner, inner[2:], strict=False):
        if f"{first}-{last}" in inner and first > last:
            raise ValueError(f"[{inner}] has no characters from {first!a} to {last!a}")
    # Never a slash, which could be in the middle of a range.
    escaped = "".join(char if char == "-" else re.escape(char) for char in inner)
    return f"(?!/)[{'^' if negated else ''}{escaped}]"


class Naming(Struct, frozen=True):
    """How a value's name at the target is made: template, then `names`, then case, prefix and suffix.

    template: with ``{path}``, ``{name}`` and ``{field}``. names: exact names for some of those that it makes.
    include, exclude: globs on the finished names.
    """

    template: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    case: Case = "upper"
    prefix: str = ""
    suffix: str = ""
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def check(self) -> str:
        """What is wrong with it; empty if nothing is."""
        unknown = [found for found in _PLACEHOLDER.findall(self.template) if found not in PLACEHOLDERS]
        if unknown:
            return f"there is no {{{unknown[0]}}}: use {', '.join('{' + name + '}' for name in PLACEHOLDERS)}"
        if "{" in _PLACEHOLDER.sub("", self.template) or "}" in _PLACEHOLDER.sub("", self.template):
            return "a { or } that belongs to no placeholder"
        for pattern in (*self.include, *self.exclude):
            try:
                _segment(pattern)
            except ValueError as error:
                return f"{pattern}: {error}"
        return ""

    def name(self, path: str, field_name: str | None, *, alone: bool) -> str | None:
        """The name of a field (None: of the whole); None if `include` or `exclude` leaves it out.

        It is empty if no letter and no digit is left of it. path: below the pattern's parent. alone: the pattern names
        one secret: its path says nothing then.
        """
        return self._finished(*self._made(path, field_name, alone=alone))

    def key(self, path: str, field_name: str | None, *, alone: bool) -> str | None:
        """The key of `names` that says what a field is called; None if none does."""
        return self._key(*self._made(path, field_name, alone=alone))

    def _made(self, path: str, field_name: str | None, *, alone: bool) -> tuple[str, str]:
        last = path.rpartition("/")[2]
        given = {"path": "_".join(path.split("/")), "name": last, "field": field_name or ""}
        template = self.template
        if not template:
            template = "{field}" if alone and field_name else "{path}" if not field_name else "{path}_{field}"
        made = _clean(_PLACEHOLDER.sub(lambda found: given[found[1]], template))
        return made, field_name or last

    def again(self, name: str) -> str | None:
        """The name at a target of what a source has named already; None if it is left out there."""
        return self._finished(*self._made_again(name))

    def key_again(self, name: str) -> str | None:
        """The key of `names` that says what `name` is called at a target; None if none does."""
        return self._key(*self._made_again(name))

    def _made_again(self, name: str) -> tuple[str, str]:
        template = self.template or "{name}"
        given = {"path": name, "name": name, "field": ""}
        return _PLACEHOLDER.sub(lambda found: given[found[1]], template), name

    def _cased(self, made: str) -> str:
        return made.upper() if self.case == "upper" else made.lower() if self.case == "lower" else made

    def _key(self, made: str, original: str) -> str | None:
        return next((each for each in (made, self._cased(made), original) if each in self.names), None)

    def _finished(self, made: str, original: str) -> str | None:
        key = self._key(made, original)
        if key is None and not made:
            return ""
        name = f"{self.prefix}{self._cased(made)}{self.suffix}" if key is None else self.names[key]
        if self.include and not any(matches(pattern, name) for pattern in self.include):
            return None
        return None if any(matches(pattern, name) for pattern in self.exclude) else name


def matches(pattern: str, name: str) -> bool:
    """Whether a glob (``ml-*``) is `name`, as a whole and with its case."""
    return re.fullmatch(_segment(pattern.replace("**", "*")), name, re.DOTALL) is not None


def _clean(name: str) -> str:
    # Names of variables everywhere: letters, digits and _ (GitHub, GitLab; also Jenkins' credential ids take them).
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def pattern_of(path: str, where: str) -> Pattern:
    """A :class:`Pattern`. Raises :class:`UsageError` that begins with `where`."""
    try:
        return Pattern(path)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", docs="sync-pattern") from None
