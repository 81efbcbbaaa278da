"""AWS managed policies of roles in Terraform's files, one record for each place that attaches some.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role (managed_policy_arns),
…/iam_role_policy_attachment, …/iam_role_policy_attachments_exclusive, …/iam_policy_attachment
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keylease.audit.collectors.policies import ATTACHED, Found, Subjects, problem
from keylease.audit.hcl import Block, Call
from keylease.audit.in_file import Declared
from keylease.audit.model import Location, Record

TYPES: Mapping[str, tuple[str, str]] = {
    "aws_iam_role": ("managed_policy_arns", ""),
    "aws_iam_role_policy_attachment": ("policy_arn", "role"),
    "aws_iam_role_policy_attachments_exclusive": ("policy_arns", "role_name"),
    "aws_iam_policy_attachment": ("policy_arn", "roles"),
}
"""Type of a resource → its attributes for the policies and for the roles."""

_ROLE = re.compile(r"\$\{\s*(?:data\.)?aws_iam_role\.([\w-]+)(?:\[[^\]]*\])?\.(?:name|id)\s*\}")
_MANAGED = re.compile(r"\$\{\s*data\.aws_iam_policy\.([\w-]+)(?:\[[^\]]*\])?\.(?:arn|id)\s*\}")
_OWN = re.compile(r"\$\{\s*aws_iam_policy\.[\w-]+(?:\[[^\]]*\])?\.(?:arn|id)\s*\}")
_DOCUMENT = re.compile(r"\$\{\s*data\.aws_iam_policy_document\.([\w-]+)(?:\[[^\]]*\])?\.json\s*\}")
_EACH = re.compile(r"\$\{\s*each\.(?:value|key)\s*\}")


class Roles:
    """What the files of a directory say together: roles, and policies that are looked up by their names."""

    def __init__(self) -> None:
        self._roles: dict[str, tuple[str, str]] = {}
        self._managed: dict[str, str] = {}

    def learn(self, root: Block, plain: Callable[[Any], Any]) -> None:
        """Take in a file."""
        for block in root.blocks:
            kind, label = block.labels if len(block.labels) == 2 else ("", "")
            if block.type == "resource" and kind == "aws_iam_role":
                name = plain(block.value("name"))
                name = name if isinstance(name, str) and name and "${" not in name else label
                found = _DOCUMENT.fullmatch(str(plain(block.value("assume_role_policy"))).strip())
                self._roles[label] = (name, found[1] if found else name)
            elif block.type == "data" and kind == "aws_iam_policy":
                name, arn = plain(block.value("name")), plain(block.value("arn"))
                self._managed[label] = arn if isinstance(arn, str) else f"arn:aws:iam::aws:policy/{name}"

    def attached(self, block: Block, path: str, plain: Callable[[Any], Any], subjects: Subjects) -> Iterator[Found]:
        """The records of one resource, a role each; a problem where the policies are computed."""
        kind, label = block.labels
        policies, of = TYPES[kind]
        given = block.attributes.get(policies)
        if given is None or given.value is None:
            return
        value = plain(given.value)
        arns, meant, whole = self._arns(block, value, plain)
        place = Declared([block.type, *block.labels], attribute=policies, value=value, meant=meant).fact()
        if not whole:
            yield problem(ATTACHED, path, given.line, f"{policies} is computed")
        roles = [f"${{aws_iam_role.{label}.name}}"] if not of else plain(block.value(of))
        for role in roles if isinstance(roles, list) else [roles]:
            found = _ROLE.fullmatch(str(role).strip())
            shown = found[1] if found else str(role)
            known = self._roles if found else {each[0]: each for each in self._roles.values()}
            name, trust = known.get(shown, (shown, "" if found or "${" in shown else shown))
            facts = {"name": name, "policies": arns, "trust": [trust] if trust else [], **place}
            if arns:
                yield Record(ATTACHED, subjects.of(f"{kind}.{label}", f"/{name}"), facts, Location(path, given.line))

    def _arns(self, block: Block, given: Any, plain: Callable[[Any], Any]) -> tuple[list[str], list[str], bool]:
        """What is written out, what each means, and whether that is all. The files' own are judged by themselves."""
        value = given
        if isinstance(given, str) and _EACH.fullmatch(given.strip()):
            each = block.value("for_each")
            if isinstance(each, Call) and each.name == "toset" and len(each.arguments) == 1:
                each = each.arguments[0]
            value = plain(list(each.values()) if isinstance(each, dict) else each)
        arns, texts, whole = [], [], True
        for each in value if isinstance(value, list) else [value]:
            text = str(each).strip()
            found = _MANAGED.fullmatch(text)
            text = self._managed.get(found[1], text) if found else text
            texts.append(text)
            if re.match(r"arn:", text):
                arns.append(text)
            elif not _OWN.fullmatch(text):
                whole = False
        return arns, texts, whole
