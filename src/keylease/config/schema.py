"""The JSON Schema of keylease.yml (draft 2020-12), made from the types that read it."""

import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from keylease.audit.model import SEVERITIES
from keylease.config.audits import AuditSettings, WaiverItem
from keylease.config.convert import fields_of, is_a, is_secret
from keylease.config.document import VERSION, NeededSecret, RunSettings, SecretItem, UseItem
from keylease.config.sync_document import FromItem, LedgerSettings, NamingKeys, SyncSettings
from keylease.config.values import DURATION_PATTERN
from keylease.errors import DOCS
from keylease.registry import COLLECTORS, EXCHANGERS, RULES, TARGETS
from keylease.secret import Secret

ID = "https://raw.githubusercontent.com/keylease/keylease/main/src/keylease/config/keylease.schema.json"

NAME = "^[A-Za-z][A-Za-z0-9_-]{0,63}$"
"""Of a provider or target."""

_TARGET = "Which of `targets`. Needed where several could be meant."
_FROM = "What is read: SCHEME://path, with wildcards; or the long form; or a list of these."
_TO = "Where it goes: github://owner/repository, …; or the long form; or a list of these."


def json_schema() -> dict[str, Any]:
    """The schema. It is looser than Keylease in what a schema can't say: references, duplicate names, circles."""
    settings = {name: EXCHANGERS.load(name).Settings for name in EXCHANGERS}
    of_targets = {name: TARGETS.load(name).Settings for name in TARGETS}
    tos = {name: TARGETS.load(name).To for name in TARGETS}
    items = [RunSettings, UseItem, SecretItem, NeededSecret, NamingKeys, FromItem, SyncSettings, LedgerSettings]
    items += [AuditSettings, WaiverItem]
    _, parts = msgspec.json.schema_components(
        [*items, *settings.values(), *of_targets.values(), *tos.values()],
        schema_hook=_hook,
        ref_template="#/$defs/{name}",
    )
    for struct in (RunSettings, *settings.values(), *of_targets.values()):
        _with_durations(parts[struct.__name__]["properties"], struct)
    providers = [_typed(parts[struct.__name__], name, struct, "provider") for name, struct in settings.items()]
    targets = [_typed(parts[struct.__name__], name, struct, "target") for name, struct in of_targets.items()]
    collectors = [_collector(name, parts) for name in COLLECTORS]
    naming = parts.pop("NamingKeys")["properties"]
    for struct in tos.values():
        for each in _nested(struct):
            _described(parts[each.__name__], each)
        own = parts[struct.__name__]
        own["properties"] = {"target": {"type": "string", "description": _TARGET}, **own["properties"], **naming}
    sync = parts.pop("SyncSettings")
    sync["properties"] |= {
        "from": _several([{"type": "string", "minLength": 1}, {"$ref": "#/$defs/FromItem"}], _FROM),
        "to": _several(
            [{"type": "string", "minLength": 1}, *({"$ref": f"#/$defs/{each.__name__}"} for each in tos.values())], _TO
        ),
    }
    sync["required"] = [*sync.get("required", []), "from", "to"]
    parts["Sync"] = sync
    parts["AuditSettings"]["properties"] |= {
        "collect": {
            "description": "What is asked for an inventory, besides the repository's files.",
            "type": "array",
            "items": _one_of(collectors),
        },
        "rules": _rules(),
        "waivers": {
            "description": "Findings that are accepted, until a day.",
            "type": "array",
            "items": {"$ref": "#/$defs/WaiverItem"},
        },
    }
    for part in parts.values():
        _without_null(part)
        part.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "keylease.yml",
        "description": f"What a CI job leases, from whom, and where it goes. See {DOCS}/configuration.md.",
        "type": "object",
        "properties": {
            "version": {"const": VERSION, "description": "Version of this format."},
            "settings": {"$ref": "#/$defs/RunSettings"},
            "providers": {
                "description": "Where credentials and secrets come from, by a name of your choice.",
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": _one_of(providers),
            },
            "leases": {
                "description": "What to lease and where it goes, in this order.",
                "type": "array",
                "items": _one_of([{"$ref": "#/$defs/UseItem"}, {"$ref": "#/$defs/SecretItem"}]),
            },
            "targets": {
                "description": "Where `keylease sync` writes to, by a name of your choice.",
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": _one_of(targets),
            },
            "ledger": {"$ref": "#/$defs/LedgerSettings"},
            "sync": {
                "description": f"What `keylease sync` keeps in line with the managers. See {DOCS}/sync.md.",
                "type": "array",
                "items": {"$ref": "#/$defs/Sync"},
            },
            "audit": {"$ref": "#/$defs/AuditSettings"},
        },
        "required": ["version"],
        "dependentRequired": {"sync": ["ledger"]},
        "additionalProperties": False,
        "$defs": dict(sorted(parts.items())),
    }


def json_text() -> str:
    """The schema as the file that is published with the package."""
    import json

    return json.dumps(json_schema(), indent=2) + "\n"


def _rules() -> dict[str, Any]:
    """What may be said of each rule: off, another severity, or its settings."""
    found = {}
    for name in sorted(RULES):
        rule = RULES.load(name)
        (own,), parts = msgspec.json.schema_components([rule.Settings], ref_template="#/$defs/{name}")
        part = parts.get(own["$ref"].rpartition("/")[2], own) if "$ref" in own else own
        severity = {"enum": list(SEVERITIES), "description": f"Default: {rule.severity}."}
        properties = {"severity": severity, **part.get("properties", {})}
        _described({"properties": properties}, rule.Settings)
        mapping = {"type": "object", "properties": properties, "additionalProperties": False}
        found[name] = {"description": rule.title + ".", "anyOf": [{"enum": [False, "off", *SEVERITIES]}, mapping]}
    return {
        "description": "By rule: false, another severity, or its settings.",
        "type": "object",
        "properties": found,
        "additionalProperties": False,
    }


def _typed(part: dict[str, Any], name: str, struct: type, what: str) -> dict[str, Any]:
    """Finish the schema of a provider's or target's settings; returns a reference to it."""
    _described(part, struct)
    for key, hint in fields_of(struct).items():
        if is_secret(hint):
            description = f"Read with {'another' if what == 'provider' else 'a'} provider's lease. "
            description += f"From a variable: {key}_env."
            part["properties"][key] = {"$ref": "#/$defs/NeededSecret", "description": description}
    part["properties"] = {"type": {"const": name, "description": f"What the {what} is."}, **part["properties"]}
    part["required"] = ["type", *part.get("required", [])]
    return {"$ref": f"#/$defs/{struct.__name__}"}


def _collector(name: str, parts: dict[str, Any]) -> dict[str, Any]:
    """Add the schema of a collector's item to `parts`; returns a reference to it."""
    kind = COLLECTORS.load(name)
    struct = kind.Settings
    _, own = msgspec.json.schema_components([struct], schema_hook=_hook, ref_template="#/$defs/{name}")
    part = own.pop(struct.__name__)
    for each in own.keys() - parts.keys():
        parts[each] = own[each]
    _with_durations(part["properties"], struct)
    _typed(part, name, struct, "collector")
    if kind.via:
        what = {"provider": "With whose lease it asks.", "target": "With which target's credential it asks."}[kind.via]
        part["properties"][kind.via] = {"type": "string", "pattern": NAME, "description": what}
    parts[f"Collect-{name}"] = part
    return {"$ref": f"#/$defs/Collect-{name}"}


def _several(choices: list[dict[str, Any]], description: str) -> dict[str, Any]:
    """One of `choices`, or a list of them. A short form is text."""
    return {
        "description": description,
        "anyOf": [*choices, {"type": "array", "minItems": 1, "items": {"anyOf": choices}}],
    }


def _nested(struct: type) -> Iterator[type]:
    """`struct`, and the structs in its fields."""
    yield struct
    for hint in fields_of(struct).values():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                yield from _nested(part)


def _one_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"oneOf": parts}


def _hook(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {}
    raise NotImplementedError(kind)


def _with_durations(properties: dict[str, Any], struct: type) -> None:
    for key, hint in fields_of(struct).items():
        if is_a(hint, float):
            old = properties[key]
            new: dict[str, Any] = {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0},
                    {"type": "string", "minLength": 1, "pattern": DURATION_PATTERN},
                ]
            }
            properties[key] = new | {k: v for k, v in old.items() if k in ("description", "default")}


def _described(part: dict[str, Any], struct: type) -> None:
    """Give each setting what the type's docstring says of it: paragraphs ``name, other: what they are.``"""
    text = inspect.getdoc(struct) or ""  # none under python -OO
    part["description"], _, rest = text.partition("\n\n")
    # Other words before a colon are none: "of the server: a path".
    name = "(?:" + "|".join(map(re.escape, part["properties"])) + ")"
    setting = re.compile(rf"(?:^|(?<=\. ))({name}(?:, {name})*): (.*?)(?=(?:(?<=\.) {name}(?:, {name})*: )|$)")
    for line in re.sub(r"\n\s+", " ", rest).splitlines():
        # A second setting of a line begins after a full stop: "timeout: of one attempt. retries: attempts after …"
        for names, what in setting.findall(line):
            said = what.replace("``", "`")
            for name in names.split(", "):
                if name in part["properties"]:
                    part["properties"][name].setdefault("description", said[0].upper() + said[1:])


def _without_null(part: dict[str, Any]) -> None:
    # keylease.yml has no null: what is not wanted is left out.
    for value in part.get("properties", {}).values():
        if value.get("default") in (None, ""):
            value.pop("default", None)
        if isinstance(value.get("anyOf"), list):
            kept = [choice for choice in value["anyOf"] if choice != {"type": "null"}]
            if len(kept) == 1:
                del value["anyOf"]
                for key, item in kept[0].items():
                    value.setdefault(key, item)
            else:
                value["anyOf"] = kept
        if isinstance(value.get("enum"), list) and None in value["enum"]:
            value["enum"].remove(None)
