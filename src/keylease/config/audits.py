"""``audit:`` of keylease.yml, from its text to a policy."""

import datetime as dt
import fnmatch
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct, field

from keylease.audit.collectors.listing import SKIPPED
from keylease.audit.model import SEVERITIES, Finding, Persona, Severity
from keylease.audit.policy import AuditPolicy, Waiver
from keylease.config import yamltree
from keylease.config.convert import fields_of, mapping, sequence, struct, unknown
from keylease.config.values import nearest
from keylease.config.yamltree import Node, fail, shown
from keylease.errors import UsageError, can_not
from keylease.registry import RULES

OFF = "off"

_BASELINE = "keylease-audit-baseline"
_MAX_BASELINE = 64 * 1024 * 1024
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

_LITERAL = re.compile(r"[^*?\[]*")
_SCHEME = re.compile(r"[a-z]*(?::(?:/(?:/.*)?)?)?", re.DOTALL)
"""How a subject, or what of it stands before a wildcard, can begin."""

Texts = list[Annotated[str, msgspec.Meta(min_length=1)]]


class WaiverItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exception with a reason and an end."""

    rule: Annotated[str, msgspec.Meta(description="Which rule; wildcards as in *-static-key.", min_length=1)]
    subject: Annotated[
        str,
        msgspec.Meta(description="What it is about, as the JSON shows it: file://PATH; with wildcards.", min_length=1),
    ]
    reason: Annotated[str, msgspec.Meta(description="Why it is accepted.", min_length=1)]
    until: Annotated[
        str,
        msgspec.Meta(description='The last day that it holds: "2027-03-31".', pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    ]


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an audit looks at, and what of it fails the build."""

    preset: Annotated[
        Literal["recommended", "strict"],
        msgspec.Meta(
            description="What the rest is by default. recommended: fail_on high, persona regular. strict: fail_on "
            "medium, persona pedantic, fail_unchecked true."
        ),
    ] = "recommended"
    fail_on: Annotated[Severity | None, msgspec.Meta(description="The least severity that fails the build.")] = None
    persona: Annotated[
        Persona | None,
        msgspec.Meta(description="Whose findings are shown: regular, pedantic's too, auditor's too."),
    ] = None
    fail_unchecked: Annotated[
        bool | None, msgspec.Meta(description="Whether what could not be checked fails the build (exit code 6).")
    ] = None
    baseline: Annotated[
        str | None, msgspec.Meta(description="File with findings that are known; relative to this one.")
    ] = None
    skip: Annotated[
        Texts | None,
        msgspec.Meta(description=f"Names of directories that are passed over. Default: {', '.join(SKIPPED)}."),
    ] = None


class AuditPlan(Struct, frozen=True):
    """source: the file it is from; empty for none. baseline: path of the baseline's file; empty for none."""

    policy: AuditPolicy = field(default_factory=AuditPolicy)
    source: str = ""
    baseline: str = ""
    skip: Sequence[str] = SKIPPED


def load_audit(path: Path) -> AuditPlan:
    """What ``audit:`` of a file asks for; the defaults if there is none.

    Raises :class:`UsageError` naming file, line and key.
    """
    from keylease.config.keyleasefile import read, sections

    source = str(path)
    parts = sections(yamltree.parse(read(path), source), source)
    if "audit" not in parts:
        return AuditPlan(source=source)
    return _Reader(source, path.parent).plan(parts["audit"])


class _Reader:
    def __init__(self, source: str, directory: Path) -> None:
        self._source = source
        self._directory = directory

    def plan(self, node: Node) -> AuditPlan:
        children = mapping(node, self._source, "audit")
        parts = ("collect", "rules", "waivers")
        unknown(node, fields_of(AuditSettings) | dict.fromkeys(parts), self._source, "audit")
        own = {key: child for key, child in children.items() if key not in parts}
        settings = struct(Node(own, node.line, node.lines), AuditSettings, self._source, "audit")
        strict = settings.preset == "strict"
        off: set[str] = set()
        severities: dict[str, Severity] = {}
        given: dict[str, Any] = {}
        rules = children.get("rules", Node({}, 1))
        for name, child in mapping(rules, self._source, "audit.rules").items():
            self._rule(name, child, rules.lines[name], off, severities, given)
        policy = AuditPolicy(
            fail_on=settings.fail_on or ("medium" if strict else "high"),
            persona=settings.persona or ("pedantic" if strict else "regular"),
            off=frozenset(off),
            severities=severities,
            settings=given,
            waivers=tuple(self._waivers(children.get("waivers"))),
            fail_unchecked=strict if settings.fail_unchecked is None else settings.fail_unchecked,
        )
        baseline = str(self._directory / settings.baseline) if settings.baseline else ""
        return AuditPlan(policy, self._source, baseline, SKIPPED if settings.skip is None else settings.skip)

    def _rule(
        self,
        name: str,
        node: Node,
        line: int,
        off: set[str],
        severities: dict[str, Severity],
        given: dict[str, Any],
    ) -> None:
        path = f"audit.rules.{shown(name)}"
        if name not in RULES:
            near = nearest(name, RULES)
            raise fail(
                self._source,
                line,
                path,
                "there is no such rule",
                "`keylease rules` lists them",
                f"did you mean {near!r}?" if near else "",
            )
        if node.value is False or node.value == OFF:
            off.add(name)
        elif isinstance(node.value, str):
            severities[name] = self._severity(node.value, line, path)
        elif isinstance(node.value, dict):
            children = dict(node.value)
            chosen = children.pop("severity", None)
            if chosen is not None:
                severities[name] = self._severity(chosen.value, node.lines["severity"], f"{path}.severity")
            rule = RULES.load(name)
            given[name] = struct(Node(children, node.line, node.lines), rule.Settings, self._source, path)
            if "ages" in children:
                self._ages(sequence(children["ages"], self._source, f"{path}.ages"), rule.needs, f"{path}.ages")
        else:
            raise fail(self._source, line, path, *_WANTED)

    def _ages(self, limits: Sequence[Node], kinds: Sequence[str], path: str) -> None:
        """A limit that covers nothing would leave the default in force, and nobody would know."""
        for number, limit in enumerate(limits):
            kind = limit.value["kind"].value if "kind" in limit.value else "*"
            if not any(fnmatch.fnmatchcase(each, kind) for each in kinds):
                families = dict.fromkeys(f"{each.partition('.')[0]}.*" for each in kinds)
                near = nearest(kind, [*kinds, *families])
                raise fail(
                    self._source,
                    limit.lines["kind"],
                    f"{path}[{number}].kind",
                    "no kind of credential that this rule judges matches",
                    f"use one of: {', '.join(kinds)}; wildcards as in {next(iter(families))}",
                    f"did you mean {near!r}?" if near else "",
                )

    def _severity(self, text: Any, line: int, path: str) -> Severity:
        for severity in SEVERITIES:
            if text == severity:
                return severity
        raise fail(self._source, line, path, *_WANTED)

    def _waivers(self, node: Node | None) -> Sequence[Waiver]:
        found = []
        for number, each in enumerate(sequence(node, self._source, "audit.waivers") if node else ()):
            path = f"audit.waivers[{number}]"
            item = struct(each, WaiverItem, self._source, path)
            if not any(fnmatch.fnmatchcase(rule, item.rule) for rule in RULES):
                near = nearest(item.rule, RULES)
                cause = f"did you mean {near!r}?" if near else ""
                what = "there is no such rule"
                raise fail(self._source, each.lines["rule"], f"{path}.rule", what, "`keylease rules` lists them", cause)
            self._subject(item.subject, each.lines["subject"], f"{path}.subject")
            found.append(Waiver(item.rule, item.subject, item.reason, self._date(item.until, each, path)))
        return found

    def _subject(self, text: str, line: int, path: str) -> None:
        literal = _LITERAL.match(text)[0]  # type: ignore[index]  # it matches nothing too
        if _SCHEME.fullmatch(literal) and (literal != text or "://" in text):
            return
        change = f"of a file write {shown(f'file://{text}')}; `--format json` shows the subject of each finding"
        raise fail(self._source, line, path, "no subject is like that: each begins like file:// or github://", change)

    def _date(self, text: str, node: Node, path: str) -> dt.date:
        try:
            if not _DATE.fullmatch(text):
                raise ValueError
            return dt.date.fromisoformat(text)
        except ValueError:
            change = 'write the last day that it holds, in quotes: until: "2027-03-31"'
            raise fail(self._source, node.lines["until"], f"{path}.until", "must be a date", change) from None


_WANTED = (
    'must be false (or "off", in quotes), a severity, or a mapping of the rule\'s settings',
    f"use false, one of {', '.join(SEVERITIES)}, or {{severity: …, SETTING: …}}",
)


# Baselines.


def read_baseline(path: str) -> dict[str, Severity]:
    """Fingerprint → how bad it was when it was noted, in a baseline. Raises :class:`UsageError`."""
    try:
        with Path(path).open("rb") as file:
            data = json.loads(file.read(_MAX_BASELINE))
        if not isinstance(data, Mapping) or data.get("format") != _BASELINE or data.get("version") != 1:
            raise ValueError
        found = {each["fingerprint"]: each["severity"] for each in data["findings"]}
        if not all(isinstance(mark, str) and rank in SEVERITIES for mark, rank in found.items()):
            raise ValueError
    except FileNotFoundError:
        raise UsageError(
            f"audit: there is no baseline {path!a}",
            change=f"make it: keylease audit --baseline {shlex.quote(path)} --write-baseline",
            docs="audit-baseline",
        ) from None
    except OSError as error:
        raise can_not("read the baseline", path, error, "audit-baseline") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"audit: {path!a} is no baseline of this version of Keylease",
            change=f"make a new one: keylease audit --baseline {shlex.quote(path)} --write-baseline",
            docs="audit-baseline",
        ) from None
    return found


def baseline_text(findings: Sequence[Finding]) -> str:
    """The file: rule and subject are for people. Of two with one fingerprint the worse one is noted."""
    worst = {each.fingerprint: each for each in sorted(findings, key=lambda each: SEVERITIES.index(each.severity))}
    rows = [
        {"rule": each.rule, "subject": each.subject, "severity": each.severity, "fingerprint": mark}
        for mark, each in sorted(worst.items(), key=lambda item: (item[1].rule, item[1].subject, item[0]))
    ]
    return json.dumps({"format": _BASELINE, "version": 1, "findings": rows}, indent=1) + "\n"
