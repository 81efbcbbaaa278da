"""Read what syncs copy: from secrets managers, by patterns, with the names that it shall have."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct, field

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, UsageError
from keylease.model import Document, Origin, Read, Wildcard
from keylease.parallel import parallel
from keylease.pipelines.lease import LeaseRun
from keylease.secret import Secret
from keylease.sync.naming import Naming, Pattern, is_pattern

T = TypeVar("T")
R = TypeVar("R")


class Source(Struct, frozen=True):
    """One `from:`. read: its path may be a pattern. selector: a field, all fields, or None for what there is.

    text: as it is written; what came by it is known by this.
    """

    text: str
    read: Read
    selector: Sequence[str] | Wildcard | None
    naming: Naming
    origin: Origin


class Named(Struct, frozen=True):
    """A value with the name that its source gives it, before it has a place."""

    name: str
    value: Secret
    source: str
    pattern: str
    version: str
    origin: Origin


class Reading(Struct):
    """What sources gave. values, broken: by the sync; broken are the sources that are not known as a whole.

    failures: why they are not. notes: what looks like a mistake.
    """

    values: dict[str, list[Named]]
    broken: dict[str, set[str]]
    failures: list[KeyleaseError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Progress = Callable[[str, int, int], None]
"""(what, done, of how many)."""


def read_sources(
    sources: Mapping[str, Sequence[Source]], context: Context, lease: LeaseRun, progress: Progress = lambda *_: None
) -> Reading:
    """What the sources of each sync give. lease: their providers are open."""
    return _Run(context, lease, progress).all(sources)


class _Run:
    def __init__(self, context: Context, lease: LeaseRun, progress: Progress) -> None:
        self._context = context
        self._lease = lease
        self._progress = progress
        self._used: defaultdict[Origin, set[str | None]] = defaultdict(set)  # of a source's `names`, the keys that fit

    def all(self, sources: Mapping[str, Sequence[Source]]) -> Reading:
        found = Reading({sync: [] for sync in sources}, {sync: set() for sync in sources})
        values, broken = found.values, found.broken
        pairs = [(sync, source) for sync, those in sources.items() for source in those]
        expanded = each_of(lambda pair: self._expand(pair[1]), pairs, self._context, "listing secrets", self._progress)
        reads: list[Read] = []
        for (sync, source), result in zip(pairs, expanded, strict=True):
            if isinstance(result, KeyleaseError):
                found.failures.append(located(result, source.origin))
            elif result:
                reads += result
            if isinstance(result, KeyleaseError) or not result:
                broken[sync].add(source.text)
                if not isinstance(result, KeyleaseError):
                    found.failures.append(_nothing(source))
        documents = self._lease.documents(reads)
        for (sync, source), result in zip(pairs, expanded, strict=True):
            listed, told = result if isinstance(result, list) else [], set[int]()
            if is_pattern(source.read.path):
                # Deleted, and still listed (as Vault does), or since then: it is not there. All of them: that is odd.
                there = [read for read in listed if not isinstance(documents[read], NotFoundError)]
                listed = there or listed
            before = len(values[sync])
            for read in listed:
                document = documents[read]
                try:
                    if isinstance(document, KeyleaseError):
                        raise document
                    values[sync] += self._named(source, read, document)
                except KeyleaseError as error:
                    broken[sync].add(source.text)
                    if id(error) not in told:  # one request for many fails once
                        found.failures.append(located(error, source.origin))
                    told.add(id(error))
            if source.text not in broken[sync]:
                found.notes += unused(source.origin, source.naming, self._used[source.origin])
            if listed and len(values[sync]) == before and source.text not in broken[sync]:
                broken[sync].add(source.text)
                found.failures.append(_left_out(source.origin, f"{source.text}: `include` and `exclude`"))
        return found

    def _expand(self, source: Source) -> list[Read]:
        read = source.read
        if not is_pattern(read.path):
            return [read]
        pattern = Pattern(read.path)
        manager = self._lease.manager(read.provider, read.scheme)
        paths = manager.find(read, pattern.parent, pattern.prefix, deep=pattern.deep)
        return [
            Read(read.provider, read.scheme, path, read.options)
            for path in sorted(dict.fromkeys(paths))
            if pattern.matches(path)
        ]

    def _named(self, source: Source, read: Read, document: Document) -> list[Named]:
        alone = not is_pattern(source.read.path)
        below = read.path.rpartition("/")[2] if alone else Pattern(source.read.path).below(read.path)
        if isinstance(source.selector, str) or (source.selector is None and not document.is_text):
            fields: list[tuple[str | None, Sequence[str] | None]] = [(name, (name,)) for name in document.names()]
        elif source.selector is None:
            fields = [(None, None)]
        else:
            fields = [(source.selector[-1], source.selector)]
        if not fields:
            raise _empty(read)
        made = []
        for shown, selector in fields:
            name = source.naming.name(below, shown, alone=alone)
            self._used[source.origin].add(source.naming.key(below, shown, alone=alone))
            if name is not None:
                value = document.value(selector, self._context.seal)
                label = f"{read}#{'.'.join(selector)}" if selector else str(read)
                made.append(Named(name, value, label, source.text, document.version or "", source.origin))
        return made


def each_of(
    work: Callable[[T], R], items: Sequence[T], context: Context, doing: str, progress: Progress
) -> list[R | KeyleaseError]:
    """`work` on each, side by side. What is no KeyleaseError is a defect, and raised."""
    done = 0

    def one(item: T) -> R:
        nonlocal done
        try:
            return work(item)
        finally:
            done += 1
            progress(doing, done, len(items))

    found: list[R | KeyleaseError] = []
    for result in parallel(one, items, context.deadline, doing):
        if isinstance(result, Exception) and not isinstance(result, KeyleaseError):
            raise result
        found.append(result)
    return found


def located(error: KeyleaseError, origin: Origin) -> KeyleaseError:
    """The same error, told where in the configuration it comes from. One error can be that of several places."""
    return type(error)(
        f"{origin}: {error.summary}",
        cause=error.cause,
        change=error.change,
        claims=error.claims,
        docs=error.docs.rpartition("#")[2],
        detail=error.detail,
    )


def _empty(read: Read) -> KeyleaseError:
    return NotFoundError(
        f"{read} has no fields",
        cause="somebody emptied it, or it was made as a folder",
        change="give it fields, delete it, or leave it out of the pattern; what came by it before is kept, not pruned",
        docs="sync-nothing",
    )


def unused(origin: Origin, naming: Naming, used: Collection[str | None]) -> list[str]:
    left = [key for key in naming.names if key not in used]
    return [f"{origin}: `names` has {', '.join(map(ascii, left))}, which nothing here is called"] if left else []


def _left_out(origin: Origin, what: str) -> KeyleaseError:
    return UsageError(
        f"{origin}: {what} leave out every name",
        cause="a typing error; they are compared with finished names, with prefix, suffix and case",
        change="mend them; what came by it before is kept, not pruned",
        docs="sync-nothing",
    )


def _nothing(source: Source) -> KeyleaseError:
    return NotFoundError(
        f"{source.origin}: {source.text} matches no secret",
        cause="the path is another one, or the lease may not list it",
        change="check the pattern; what came by it before is kept, not pruned",
        docs="sync-nothing",
    )
