"""The JSON Schema of keylease.yml (draft 2020-12), made from the types that read it."""

import inspect
import re
from typing import Any

import msgspec

from keylease.config.convert import fields_of, is_a, is_secret
from keylease.config.document import VERSION, NeededSecret, RunSettings, SecretItem, UseItem
from keylease.config.values import DURATION_PATTERN
from keylease.registry import EXCHANGERS
from keylease.secret import Secret

ID = "https://raw.githubusercontent.com/keylease/keylease/main/src/keylease/config/keylease.schema.json"

_NAMES = "[a-z_]+(?:, [a-z_]+)*"
_SETTING = re.compile(rf"(?:^|(?<=\. ))({_NAMES}): (.*?)(?=(?: {_NAMES}: )|$)")


def json_schema() -> dict[str, Any]:
    """The schema. It is looser than Keylease in what a schema can't say: references, duplicate names, circles."""
    settings = {name: EXCHANGERS.load(name).Settings for name in EXCHANGERS}
    _, parts = msgspec.json.schema_components(
        [RunSettings, UseItem, SecretItem, NeededSecret, *settings.values()],
        schema_hook=_hook,
        ref_template="#/$defs/{name}",
    )
    for struct in (RunSettings, *settings.values()):
        _with_durations(parts[struct.__name__]["properties"], struct)
    providers = []
    for name, struct in settings.items():
        part = parts[struct.__name__]
        _described(part, struct)
        for key, hint in fields_of(struct).items():
            if is_secret(hint):
                description = f"Read with another provider's lease. From a variable: {key}_env."
                part["properties"][key] = {"$ref": "#/$defs/NeededSecret", "description": description}
        part["properties"] = {"type": {"const": name, "description": "What the provider is."}, **part["properties"]}
        part["required"] = ["type", *part.get("required", [])]
        providers.append({"$ref": f"#/$defs/{struct.__name__}"})
    for part in parts.values():
        _without_null(part)
        part.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "keylease.yml",
        "description": "What a CI job leases, from whom, and where it goes. See docs/configuration.md of Keylease.",
        "type": "object",
        "properties": {
            "version": {"const": VERSION, "description": "Version of this format."},
            "settings": {"$ref": "#/$defs/RunSettings"},
            "providers": {
                "description": "Where credentials and secrets come from, by a name of your choice.",
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"},
                "additionalProperties": _one_of(providers),
            },
            "leases": {
                "description": "What to lease and where it goes, in this order.",
                "type": "array",
                "items": _one_of([{"$ref": "#/$defs/UseItem"}, {"$ref": "#/$defs/SecretItem"}]),
            },
        },
        "required": ["version"],
        "additionalProperties": False,
        "$defs": dict(sorted(parts.items())),
    }


def json_text() -> str:
    """The schema as the file that is published with the package."""
    import json

    return json.dumps(json_schema(), indent=2) + "\n"


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
    for line in re.sub(r"\n\s+", " ", rest).splitlines():
        # A second setting of a line begins after a full stop: "timeout: of one attempt. retries: attempts after …"
        for names, what in _SETTING.findall(line):
            for name in names.split(", "):
                if name in part["properties"]:
                    described = what[0].upper() + what[1:].replace("``", "`")
                    part["properties"][name].setdefault("description", described)


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
