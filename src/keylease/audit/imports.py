"""Reports of other scanners as records: where they found something, never what.

Told apart by content. The formats, from the tools' sources:
gitleaks      a JSON array of report.Finding: https://github.com/gitleaks/gitleaks/blob/master/report/finding.go
trufflehog    JSON lines: https://github.com/trufflesecurity/trufflehog/blob/main/pkg/output/json.go
kingfisher    JSON (an object with `findings`) or JSON lines, of {rule, finding}:
              https://github.com/mongodb/kingfisher/blob/main/src/reporter.rs
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

from keylease.audit.model import Inventory, Location, Problem, Record
from keylease.errors import UsageError, can_not

KIND = "scan.finding"

MAX_REPORT = 256 * 1024 * 1024
"""Bytes."""

_LONG = 300
"""Characters of a text that are kept."""

_SHORT = 4
"""Characters of a value below which it is not looked for in what is kept."""


_STATES = ("inactive", "unknown", "active")


class _Found(Struct):
    tool: str
    name: str
    path: str = ""
    line: int = 0
    column: int = 0
    commit: str = ""
    description: str = ""
    state: str = "unknown"
    place: str = ""


def imported(paths: Sequence[str], prefix: str = "--") -> Inventory:
    """What these files report. Raises :class:`UsageError`, without any of their text."""
    inventory = Inventory(kinds={KIND})
    for path in paths:
        data = _read(path, prefix)
        if not data.strip():
            inventory.problems.append(
                Problem(
                    KIND,
                    f"{path!a} is empty: trufflehog found nothing, or a scanner ended before it wrote anything",
                    "see that the scanner's exit code fails the job",
                )
            )
            continue
        try:
            left: list[int] = []
            found = list(_findings(data, left))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # The decoder's error would hold the text.
            raise UsageError(
                f"{prefix}import: {path!a} is no whole report of gitleaks, trufflehog or kingfisher",
                cause="it is of another tool or form, or was cut off",
                change="gitleaks … --report-format json, trufflehog … --json, or kingfisher scan … --format json",
                docs="audit-import",
            ) from None
        inventory.records += map(_record, found)
        if sum(left):
            what = f"{path!a} says that {sum(left)} of what was to be scanned was not, or in part"
            inventory.problems.append(Problem(KIND, what, "see what kingfisher logged, and scan again"))
    # Of several at one place that can't be told apart, the worst.
    known: dict[str, Record] = {}
    for record in inventory.records:
        other = known.get(record.subject)
        if other is None or _STATES.index(record.facts["state"]) > _STATES.index(other.facts["state"]):
            known[record.subject] = record
    inventory.records = list(known.values())
    return inventory


def _read(path: str, prefix: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_REPORT + 1)
    except ValueError:
        raise UsageError(f"{prefix}import: no file can be called {path!a}", docs="audit-import") from None
    except OSError as error:
        raise can_not("read", path, error, "audit-import", part=f"{prefix}import") from None
    if len(data) > MAX_REPORT:
        what = f"{path!a} is larger than {MAX_REPORT // 1024 // 1024} MiB"
        change = f"give it in parts: {prefix}import may be given again"
        raise UsageError(f"{prefix}import: {what}", change=change, docs="audit-import")
    return data


def _findings(data: bytes, left: list[int]) -> Iterator[_Found]:
    """left: gets how many places were not scanned, as far as the scanner counts them."""
    text = data.decode("utf-8-sig")
    if text.lstrip().startswith("["):
        for each in _objects(json.loads(text)):
            yield _of_gitleaks(each)
        return
    for each in _objects(map(json.loads, filter(str.strip, _documents(text)))):
        summary = (each.get("audit") or {}).get("summary") or {}
        left += [_number(summary.get(key)) for key in ("fetch_failed", "scan_partial", "scan_failed", "pending")]
        if "DetectorName" in each and "SourceMetadata" in each:
            yield _of_trufflehog(each)
        elif "rule" in each and "finding" in each:
            yield _of_kingfisher(each)
        elif isinstance(each.get("findings"), list):
            yield from map(_of_kingfisher, _objects(each["findings"]))
        elif set(each) not in ({"access_map"}, {"audit"}):  # further lines of kingfisher's
            raise ValueError("unknown")


def _documents(text: str) -> Iterable[str]:
    """One a line, or one over several lines."""
    lines = text.split("\n")
    return [text] if lines[0].strip() in ("{", "") else lines


def _objects(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for value in values:
        if not isinstance(value, dict):
            raise TypeError("no object")
        yield value


def _of_gitleaks(each: Mapping[str, Any]) -> _Found:
    values = [each.get("Secret"), each.get("Match")]
    if not each["RuleID"] or "File" not in each:
        raise ValueError("no finding")
    return _clean(
        values,
        _Found(
            "gitleaks",
            _text(each["RuleID"]),
            _text(each["File"]),
            _number(each.get("StartLine")),
            _number(each.get("StartColumn")),
            _text(each.get("Commit")),
            _text(each.get("Description")),
        ),
    )


def _of_trufflehog(each: Mapping[str, Any]) -> _Found:
    data = (each["SourceMetadata"] or {}).get("Data") or {}
    source, about = next(((name, value) for name, value in data.items() if isinstance(value, dict)), ("", {}))
    verified = each.get("Verified", False)
    if not isinstance(verified, bool) or not each["DetectorName"]:
        raise TypeError("no finding")
    return _clean(
        [each.get("Raw"), each.get("RawV2"), each.get("Redacted")],
        _Found(
            "trufflehog",
            _text(each["DetectorName"]),
            _text(about.get("file")),
            _number(about.get("line")),
            0,
            _text(about.get("commit")),
            _text(each.get("DetectorDescription")),
            "active" if verified else "unknown",
            "" if about.get("file") else f"{source} {_text(about.get('repository') or about.get('bucket'))}".strip(),
        ),
    )


def _of_kingfisher(each: Mapping[str, Any]) -> _Found:
    rule, finding = each["rule"], each["finding"]
    status = _text((finding.get("validation") or {}).get("status")).lower()
    git = finding.get("git_metadata") or {}
    commit = git.get("commit") or {}
    return _clean(
        [finding.get("snippet"), *(finding.get("dependent_captures") or {}).values()],
        _Found(
            "kingfisher",
            _text(rule["id"]),
            _text((git.get("file") or {}).get("path") or finding["path"]),
            _number(finding.get("line")),
            _number(finding.get("column_start")),
            _text(commit.get("id")),
            _text(rule.get("description") or rule.get("name")),
            {"active credential": "active", "inactive credential": "inactive"}.get(status, "unknown"),
        ),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value[:_LONG]


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1 << 31 else 0


def _clean(values: Sequence[object], found: _Found) -> _Found:
    """Without the value, where it stands in a path or a description."""
    hidden = [value for value in values if isinstance(value, str) and len(value) >= _SHORT]
    for value in sorted(hidden, key=len, reverse=True):
        for name in ("name", "path", "commit", "description", "place"):
            setattr(found, name, getattr(found, name).replace(value, "***"))
    return found


def _record(found: _Found) -> Record:
    path = _relative(found.path)
    # Not their fingerprint: kingfisher's is a weak hash of the value.
    text = json.dumps([found.name, path, found.line, found.column, found.commit, found.place])
    facts = {
        "tool": found.tool,
        "name": found.name,
        "path": path,
        "line": found.line,
        "commit": found.commit,
        "verified": found.state == "active",
        "state": found.state,
        "description": found.description,
        "place": found.place,
    }
    number = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    is_file = bool(path) and not os.path.isabs(path) and os.path.isfile(path)
    return Record(KIND, f"scan://{found.tool}/{number}", facts, Location(path, found.line) if is_file else None)


def _relative(path: str) -> str:
    """As it is called from here, for scanners that were given an absolute path."""
    try:
        pure = PurePosixPath(path.replace("\\", "/"))
        return pure.relative_to(Path.cwd()).as_posix() if pure.is_absolute() else pure.as_posix() if path else ""
    except (ValueError, OSError):
        return path
