"""What the audit's page draws of the inventory's credentials: their ages, their ends, and how far they reach."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

import msgspec

from keylease.audit.credentials import SORTS, age, days, is_active, of_sorts
from keylease.audit.model import Inventory, Record
from keylease.audit.policy import AuditPolicy
from keylease.audit.rules.credential_stale import CredentialStale, Settings
from keylease.outputs.audit_report import count, flat

MAX_REACHING = 20
"""Secrets drawn, those that most repositories see."""

_LABEL, _COLUMN, _ROW, _WIDTH = 190, 82, 58, 800


def charts(inventory: Inventory, policy: AuditPolicy) -> str:
    """The figures, each with its numbers as a table; empty where the inventory holds no credential."""
    found = of_sorts(inventory)
    return "".join(filter(None, (_ages(found, inventory, policy), _ends(found, inventory), _reach(inventory))))


def _settings(policy: AuditPolicy) -> Settings | None:
    """Of the rule about ages; None where it is off."""
    if CredentialStale.id in policy.off:
        return None
    given = policy.settings.get(CredentialStale.id)
    if isinstance(given, Settings):
        return given
    return msgspec.convert(given, Settings) if isinstance(given, Mapping) else Settings()


def _ages(found: Sequence[Record], inventory: Inventory, policy: AuditPolicy) -> str:
    found = [record for record in found if SORTS[record.kind].ages]
    settings = _settings(policy)
    limits: dict[str, int | None] = {}
    for record in found:
        sort = SORTS[record.kind]
        limits[sort.label] = None if settings is None else settings.stored_days if sort.stored else settings.max_days
    bounds = sorted({30, 90, 180, 365, *(limit for limit in limits.values() if limit)})
    labels = [f"{low + 1}–{high}" if low else f"≤ {high}" for low, high in zip((0, *bounds), bounds, strict=False)]
    labels += [f"> {bounds[-1]}", "not told"]

    def place(record: Record) -> int:
        old = age(record, inventory.now)
        return len(labels) - 1 if old is None else sum(old > bound for bound in bounds)

    over = {
        label: range(bounds.index(limit) + 1 if limit else len(labels) - 1, len(labels) - 1)
        for label, limit in limits.items()
    }
    told = "Days since each value was last changed, as far as its vendor tells."
    if any(over.values()):
        told += " The dashed line is the limit of credential-stale for that kind, without its settings for single ones."
    return _grid("ages", "Ages of credentials", told, found, labels, place, over, "over the limit")


_ENDS = (7, 30, 90, 365)


def _ends(found: Sequence[Record], inventory: Inventory) -> str:
    ending = [record for record in found if "expires_at" in record.facts]
    labels = ["ended", *(f"≤ {bound}" for bound in _ENDS), f"> {_ENDS[-1]}", "never"]
    never = {SORTS[record.kind].label: range(len(labels) - 1, len(labels)) for record in ending}

    def place(record: Record) -> int:
        past = days(record.facts, "expires_at", inventory.now)
        if past is None:
            return len(labels) - 1
        return 0 if past >= 0 else 1 + sum(-past > bound for bound in _ENDS)

    told = "Days until each credential ends by itself, of those whose vendor tells."
    return _grid("ends", "Ends to come", told, ending, labels, place, never, "without an end")


def _grid(
    name: str,
    title: str,
    told: str,
    records: Sequence[Record],
    labels: Sequence[str],
    place: Callable[[Record], int],
    bad: Mapping[str, range],
    verdict: str,
) -> str:
    """Columns for each kind. bad: kind → the columns that are over its limit, or as bad; verdict: what they are."""
    if not records:
        return ""
    counts: dict[str, Counter[int]] = {}
    for record in records:
        counts.setdefault(SORTS[record.kind].label, Counter())[place(record)] += 1
    most = max(max(each.values()) for each in counts.values())
    height = 30 + _ROW * len(counts)
    step = min(_COLUMN, (_WIDTH - _LABEL) // len(labels))
    parts = [_label(_LABEL + step * at + step // 2, 18, each, "soft") for at, each in enumerate(labels)]
    for row, (label, numbers) in enumerate(sorted(counts.items())):
        base = 30 + _ROW * (row + 1) - 8
        parts.append(f'<text x="0" y="{base - 4}">{escape(label)}</text>')
        parts.append(f'<line class="axis" x1="{_LABEL}" x2="{_LABEL + step * len(labels)}" y1="{base}" y2="{base}"/>')
        if name == "ages" and bad[label]:
            x = _LABEL + step * bad[label].start
            parts.append(f'<line class="limit" x1="{x}" x2="{x}" y1="{base - _ROW + 14}" y2="{base}"/>')
        for at, number in sorted(numbers.items()):
            tall = max(2, round((_ROW - 26) * number / most))
            left, kind = _LABEL + step * at, "over" if at in bad[label] else "bar"
            parts.append(
                f'<rect class="{kind}" x="{left + 12}" y="{base - tall}" width="{step - 24}" height="{tall}"/>'
                f"{_label(left + step // 2, base - tall - 4, str(number))}"
            )
    over = sum(number for label, each in counts.items() for at, number in each.items() if at in bad[label])
    described = f"{count(len(records), 'credential')}, {over} {verdict}. The numbers are in the table."
    rows = [[label, *(str(numbers[at]) for at in range(len(labels)))] for label, numbers in sorted(counts.items())]
    return _figure(name, title, told, described, (_WIDTH, height), parts, ["Kind", *labels], rows)


def _label(x: int, y: int, text: str, kind: str = "") -> str:
    return f'<text{f" class={kind}" if kind else ""} x="{x}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _reach(inventory: Inventory) -> str:
    repositories = Counter(
        _text(record, "name").partition("/")[0].lower()
        for record in inventory.of("github.repository")
        if record.facts.get("archived") is not True
    )
    found: list[tuple[int, str, str]] = []
    for record in inventory.of("github.secret"):
        if record.facts.get("level") != "organization" or not is_active(record):
            continue
        holder, named = _text(record, "holder"), record.facts.get("repositories")
        # With "private" it is fewer than all, how many isn't told: it is drawn as what it may be.
        number = len(named) if isinstance(named, list) else repositories[holder.lower()]
        if number or isinstance(named, list):
            label = flat(f"{holder}: {_text(record, 'name')}", 60)
            found.append((number, label, flat(_text(record, "visibility") or "?", 20)))
    if not found:
        return ""
    found.sort(key=lambda each: (-each[0], each[1]))
    most = max(1, found[0][0])
    parts: list[str] = []
    for row, (number, label, _) in enumerate(found[:MAX_REACHING]):
        y = 24 * row
        short = label if len(label) <= 38 else label[:37] + "…"
        wide = round(420 * number / most)
        parts.append(
            f'<text x="0" y="{y + 16}">{escape(short)}</text>'
            f'<rect class="track" x="290" y="{y + 4}" width="420" height="16"/>'
            f'<rect class="bar" x="290" y="{y + 4}" width="{max(wide, 1)}" height="16"/>'
            f'<text x="{290 + max(wide, 1) + 8}" y="{y + 16}">{number}</text>'
        )
    told = "Repositories that see each secret of an organisation; at most, where all (private) ones do."
    more = len(found) - MAX_REACHING
    described = (
        f"{count(len(found), 'secret')}; at most {found[0][0]} repositories see one. The numbers are in the table."
    )
    rows = [[label, shown, str(number)] for number, label, shown in found[: MAX_REACHING * 10]]
    told += f" The {MAX_REACHING} that reach furthest; {more} more." if more > 0 else ""
    size = (_WIDTH, 24 * min(len(found), MAX_REACHING) + 4)
    return _figure(
        "reach", "Reach of secrets", told, described, size, parts, ["Secret", "Visible to", "Repositories"], rows
    )


def _figure(
    name: str,
    title: str,
    told: str,
    described: str,
    size: tuple[int, int],
    parts: Iterable[str],
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><p class="soft">{escape(told)}</p>'
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(title)}, drawn">'
        f'<svg role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {size[0]} {size[1]}">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(described)}</desc>'
        f"{''.join(parts)}</svg></div><details><summary>{escape(title)} as a table</summary>"
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(title)}, as a table">'
        f"{numbers(heads, rows)}</div></details></figure>"
    )


def numbers(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names its rows. All texts are escaped here."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(record: Record, fact: str) -> str:
    found = record.facts.get(fact)
    return found if isinstance(found, str) else ""
