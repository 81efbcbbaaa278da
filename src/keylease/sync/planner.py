"""What to change at one place: a function of what is wanted, what is there, and what the ledger says is ours."""

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from keylease.sync.ledger import Keys, Ledger, variable_of
from keylease.sync.model import ABSENT, Change, Entry, Limit, Listing, Option, Policy, Remote, Slot, Wanted

MOST_PRUNED = 10
"""Deletes at one place that need no more than `prune: true`, however few values there are."""

Check = Callable[[Wanted], str]
"""Why a platform would not take a value as it is; empty if it would."""


_ADOPT = "`keylease sync adopt NAME` takes it over"


class Case(Struct, frozen=True):
    """All that is known of one place.

    patterns: the `from`s that this sync declares now. broken: those of them that could not be read as a whole, or had
    nothing: what came by them before is no orphan. others: slots that other syncs own or want → their names.
    hold: why nothing is deleted here, whatever is wanted; empty if there is no reason.
    """

    wanted: Sequence[Wanted]
    listing: Listing
    ledger: Ledger
    keys: Keys
    policy: Policy
    patterns: Collection[str]
    broken: Collection[str] = ()
    others: Mapping[Slot, str] = {}
    hold: str = ""


def plan_place(case: Case, check: Check) -> list[Change]:
    """The changes of one place, in the order in which they are carried out: writes, then deletes."""
    wanted, clashes = _one_each(case.wanted)
    changes = [*clashes, *(_want(case, each, check) for each in wanted.values())]
    changes = _within(case.listing.limits, changes, case.listing.remotes)
    taken = {*wanted, *(clash.slot for clash in clashes)}
    changes += _braked(case, [_unwanted(case, slot) for slot in case.ledger.slots() if slot not in taken])
    order = {"delete": 2, "forget": 2}
    return sorted(changes, key=lambda change: (order.get(change.effect, 1), change.slot))


def _one_each(wanted: Sequence[Wanted]) -> tuple[dict[Slot, Wanted], list[Change]]:
    by_slot: dict[Slot, list[Wanted]] = {}
    for each in wanted:
        by_slot.setdefault(each.slot, []).append(each)
    single: dict[Slot, Wanted] = {}
    clashes = []
    for slot, several in by_slot.items():
        first = several[0]
        if all(each.source == first.source and each.value == first.value for each in several):
            single[slot] = first
        else:
            sources = list(dict.fromkeys(each.source for each in several))
            if len(sources) == 1:
                sources = [f"{each.source} (version {each.version or 'unknown'})" for each in several]
            reason = f"{len(sources)} sources want this name: {', '.join(sources[:3])}"
            clashes.append(Change(slot, "blocked", "none", reason, first.source))
    return single, clashes


def _want(case: Case, wanted: Wanted, check: Check) -> Change:
    slot = wanted.slot
    remote, entry = case.listing.remotes.get(slot), case.ledger.get(slot)

    def change(action: str, effect: str, reason: str) -> Change:
        return Change(slot, action, effect, reason, wanted.source, wanted.version)  # type: ignore[arg-type]

    problem = check(wanted) if slot.name else "nothing is left of its name: letters, digits and _ make one"
    if problem:
        return change("blocked", "none", problem)
    if remote is None and entry is None and slot in case.others:
        return change(
            "blocked",
            "none",
            f"the sync {case.others[slot]!a} wants this name too; give one of them a `prefix`, or `exclude` it there",
        )
    if remote is None:
        return change("add", "write", "it was deleted there" if entry and not entry.pending else "not there yet")
    options = _differing(wanted.options, remote.options)
    same = remote.value is not None and _equal(remote, wanted) and not options
    if entry is None:
        return _foreign(case, wanted, same, change)
    if same:
        fresh = not entry.pending and _is(case, entry, wanted) and entry.updated_at == remote.updated_at
        if fresh:
            return _unchanged(entry, wanted, change)
        return change("unchanged", "record", "the same value is there")
    if entry.pending and entry.updated_at == ABSENT and remote.value is not None and _drifted(case, remote, entry):
        # An earlier run ended before it had made it, and this is not what it would have made: somebody else did.
        return _foreign(case, wanted, same, change)
    if entry.pending:
        return change("update", "write", "an earlier run ended in the middle of this write")
    if _drifted(case, remote, entry):
        # A platform that tells no time has a mark instead, which says nothing to people.
        at = f", {remote.updated_at}" if "-" in remote.updated_at else ""
        if case.policy.on_drift == "keep":
            return change("drifted", "none", f"changed there by somebody else{at}; kept (`on_drift: keep`)")
        return change("drifted", "write", f"changed there by somebody else{at}; it is written again")
    if not _is(case, entry, wanted):
        old, new = entry.version, wanted.version
        known = old and new and old != new
        return change("update", "write", "the source has changed" + (f": version {old} → {new}" if known else ""))
    if options:
        return change("update", "write", f"differs in {', '.join(options)}")
    return _unchanged(entry, wanted, change)


def _unchanged(entry: Entry, wanted: Wanted, change: Callable[[str, str, str], Change]) -> Change:
    # What came by a pattern is pruned by it: a ledger that names an old one would keep it for ever.
    if (entry.source, entry.pattern) == (wanted.source, wanted.pattern):
        return change("unchanged", "none", "")
    return change("unchanged", "record", "it comes from elsewhere now")


def _foreign(case: Case, wanted: Wanted, same: bool, change: Callable[[str, str, str], Change]) -> Change:
    name = wanted.slot.name
    other = case.others.get(wanted.slot)
    if other:
        gone = f"if that one is no more, delete its ledger there, {variable_of(other, 1)} …"
        return change("blocked", "none", f"it belongs to the sync {other!a}; {gone}")
    unknown = sorted(set(case.ledger.unknown.values()))
    lost = f"; the ledger can't be believed: {'; '.join(unknown)}" if unknown else ""
    if not case.policy.adopts(name):
        return change("blocked", "none", f"it is there and not this sync's{lost}; {_ADOPT}")
    if same:
        return change("adopt", "record", "the same value is there already")
    return change("adopt", "write", "it is there, and is taken over")


def _unwanted(case: Case, slot: Slot) -> Change:
    remote, entry = case.listing.remotes.get(slot), case.ledger.get(slot)
    assert entry is not None

    def orphan(effect: str, reason: str) -> Change:
        return Change(slot, "orphan", effect, reason, entry.source, entry.version)  # type: ignore[arg-type]

    if remote is None:
        return orphan("forget", "no longer wanted, and gone there already")
    if case.hold:
        return orphan("none", f"kept: {case.hold}")
    if entry.pattern in case.broken:
        return orphan("none", f"kept: {entry.pattern} has nothing, or could not be read as a whole")
    if entry.pattern not in case.patterns:
        gone = f"{entry.pattern}, where it came from, is no longer in the configuration"
        return orphan("none", f"kept: {gone}; delete it by hand if it is to go")
    if entry.pending:
        return orphan("none", "kept: an earlier run ended in the middle of writing it")
    if _drifted(case, remote, entry):
        return orphan("none", "kept: changed there since this sync wrote it")
    now = next((each.slot for each in case.wanted if each.source == entry.source), None)
    why = f"its source goes to {now} now" if now else "no longer at its source, or left out by `include` or `exclude`"
    if not case.policy.prune:
        return orphan("none", f"{why}; `prune: true` would delete it")
    return orphan("delete", why)


def _braked(case: Case, orphans: list[Change]) -> list[Change]:
    """`orphans`, none deleted where most of what is ours would go: mostly, the source is another one then."""
    number, ours = sum(each.effect == "delete" for each in orphans), len(case.ledger.slots())
    if case.policy.prune == "all" or number <= max(MOST_PRUNED, ours // 2):
        return orphans
    why = f"kept: {number} of {ours} would be deleted at once; if that is meant, `prune: all` does it"
    return [replace(each, effect="none", reason=why) if each.effect == "delete" else each for each in orphans]


def _within(limits: Sequence[Limit], changes: list[Change], remotes: Mapping[Slot, Remote]) -> list[Change]:
    """`changes` with those additions blocked that a place has no room for."""
    for limit in limits:
        room = limit.most - sum(slot.kind in limit.kinds for slot in remotes)
        full = set()
        for change in sorted(changes, key=lambda each: each.slot):
            if change.effect == "write" and change.slot not in remotes and change.slot.kind in limit.kinds:
                room -= 1
                if room < 0:
                    full.add(change.slot)
        why = f"there is no room: {limit.text}"
        changes = [
            Change(each.slot, "blocked", "none", why, each.source, each.version) if each.slot in full else each
            for each in changes
        ]
    return changes


def _differing(wanted: Mapping[str, Option], there: Mapping[str, Option]) -> list[str]:
    # What the platform does not show can't be compared.
    return [
        f"{name} ({_shown(there[name])} → {_shown(to)})"
        for name, to in wanted.items()
        if name in there and there[name] != to
    ]


def _shown(option: Option) -> str:
    """As it is written in keylease.yml."""
    if isinstance(option, tuple):
        return f"[{', '.join(option)}]"
    return str(option).lower() if isinstance(option, bool) else str(option)


def _equal(remote: Remote, wanted: Wanted) -> bool:
    assert remote.value is not None
    return hmac.compare_digest(remote.value.reveal_bytes(), wanted.value.reveal_bytes())


def _is(case: Case, entry: Entry, wanted: Wanted) -> bool:
    mac = case.keys.mac(case.ledger.place, wanted.slot, wanted.value)
    return hmac.compare_digest(mac, entry.mac)


def _drifted(case: Case, remote: Remote, entry: Entry) -> bool:
    if remote.value is not None:
        return not hmac.compare_digest(case.keys.mac(case.ledger.place, remote.slot, remote.value), entry.mac)
    return bool(remote.updated_at) and remote.updated_at != entry.updated_at
