"""What to write into the file that a record was read from: `terraform apply` would undo what a command does."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from keylease.audit import hcl_text
from keylease.audit.hcl_text import Inner
from keylease.audit.model import Record
from keylease.audit.workflows import shown

FACT = "declared"


class Declared(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the file says what a record tells; the fact :data:`FACT`.

    block: Terraform's, its type and labels. inner: the type of the block in it that is meant.
    form: of a policy: JSON, an object of HCL (``jsonencode``), or blocks of a document.
    attribute, value: where what the record tells one of is listed, and all that is listed there. own: which it is.
    meant: what each of `value` means, where that is not how it is written.
    """

    block: list[str] = []
    inner: str = ""
    form: Literal["json", "hcl", "blocks"] = "json"
    attribute: str = ""
    value: Any = None
    own: str = ""
    meant: list[Any] = []

    def fact(self) -> dict[str, Any]:
        """For a record's facts."""
        return {FACT: msgspec.to_builtins(self)}


def declared(record: Record) -> Declared:
    """How it is said; of what a snapshot holds there only what can be."""
    try:
        return msgspec.convert(record.facts.get(FACT, {}), Declared)
    except (msgspec.ValidationError, RecursionError):
        return Declared()


def in_terraform(record: Record) -> bool:
    """Whether it is a block of Terraform."""
    return record.location is not None and len(declared(record).block) == 3


def within(record: Record) -> str:
    """Words for the block of Terraform that the record is from."""
    where = declared(record).block if in_terraform(record) else []
    return f" in {shown('.'.join(where).removeprefix('resource.'), 120)}" if where else ""


def attributes(record: Record, fields: Mapping[str, Any]) -> str:
    """`fields` of what the record tells, as they are written there; empty if it is in no file."""
    if record.location is None:
        return ""
    if not in_terraform(record):
        return bare(fields)
    place = declared(record)
    return blocks(record, [(place.block, {place.inner: [Inner(fields)]} if place.inner else fields)])


def blocks(record: Record, given: Sequence[tuple[Sequence[str], Mapping[str, Any]]]) -> str:
    """Blocks of Terraform, their types and labels and what is in them, in the language of the record's file."""
    if not _is_json(record):
        return "\n\n".join(hcl_text.block(head, fields) for head, fields in given)
    made: dict[str, Any] = {}
    for (kind, name, label), fields in given:
        made.setdefault(kind, {}).setdefault(name, {})[label] = fields
    return json.dumps(_templates(_as_json(made)), indent=2)


def replaced(record: Record, new: str, old: str = "") -> dict[str, Any]:
    """The attribute that lists what the record tells, with `new` for `old` (or for its own); nothing: without it."""
    place = declared(record)
    if not isinstance(place.value, list):
        return {place.attribute: new} if new and place.attribute else {}
    meant = place.meant if len(place.meant) == len(place.value) else place.value
    gone = old or place.own
    kept: list[Any] = []
    added = not new
    for each, text in zip(place.value, meant, strict=True):
        if text != gone:
            kept.append(each)
        elif not added:
            kept.append(new)
            added = True
    return {place.attribute: kept}


def of_statement(record: Record, part: Mapping[str, Any]) -> str:
    """Keys of a policy's statement, as they are written where the policy is."""
    place = declared(record) if in_terraform(record) else Declared()
    if place.form == "hcl":
        return hcl_text.body(part)
    if place.form == "blocks":
        return bare(_templates(_as_json(_blocks(part)))) if _is_json(record) else hcl_text.body(_blocks(part))
    return bare(_templates(part) if place.block else part)


def of_condition(record: Record, test: str, variable: str, wanted: str) -> str:
    """One more condition of a statement, to be added to those of the same operator."""
    if declared(record).form == "blocks":
        return of_statement(record, {"Condition": {test: {variable: wanted}}})
    return of_statement(record, {variable: wanted})


def statement(record: Record, part: Mapping[str, Any]) -> str:
    """A whole statement of a policy, as it is written where the policy is."""
    place = declared(record) if in_terraform(record) else Declared()
    if place.form == "hcl":
        return hcl_text.value(part)
    if place.form == "blocks" and not _is_json(record):
        return hcl_text.body({"statement": Inner(_blocks(part))})
    return "{\n" + "\n".join(f"  {line}" for line in of_statement(record, part).splitlines()) + "\n}"


def bare(fields: Mapping[str, Any]) -> str:
    """Keys of JSON and their values, without what is around them."""
    return "\n".join(line[2:] for line in json.dumps(fields, indent=2).splitlines()[1:-1])


_KEYS = {
    "Sid": "sid",
    "Action": "actions",
    "NotAction": "not_actions",
    "Resource": "resources",
    "NotResource": "not_resources",
}


def _blocks(part: Mapping[str, Any]) -> dict[str, Any]:
    """https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/iam_policy_document"""
    made: dict[str, Any] = {}
    for key, given in part.items():
        if key == "Condition":
            made["condition"] = [
                Inner({"test": test, "variable": variable, "values": _listed(values)})
                for test, each in given.items()
                for variable, values in each.items()
            ]
        elif key == "Principal":
            made["principals"] = [
                Inner({"type": kind, "identifiers": _listed(values)}) for kind, values in given.items()
            ]
        elif key in _KEYS:
            made[_KEYS[key]] = given if key == "Sid" else _listed(given)
    return made


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _as_json(given: Any) -> Any:
    if isinstance(given, list):
        return [_as_json(each) for each in given]
    if isinstance(given, Inner):
        return _as_json(given.body)
    return {key: _as_json(each) for key, each in given.items()} if isinstance(given, Mapping) else given


def _templates(given: Any) -> Any:
    if isinstance(given, list):
        return [_templates(each) for each in given]
    if isinstance(given, Mapping):
        return {hcl_text.template(str(key)): _templates(each) for key, each in given.items()}
    return hcl_text.template(given) if isinstance(given, str) else given


def _is_json(record: Record) -> bool:
    return record.location is not None and record.location.path.endswith(".json")
