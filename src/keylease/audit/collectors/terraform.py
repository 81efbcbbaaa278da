"""Policies and roles in Terraform's files, as far as they are written out. What is computed is a Problem.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/iam_policy_document
https://registry.terraform.io/providers/hashicorp/vault/latest/docs/resources/jwt_auth_backend_role
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from keylease.audit.collectors import terraform_attached, terraform_cloud, terraform_keys
from keylease.audit.collectors.policies import (
    ATTACHED,
    IAM,
    ROLE,
    STATIC_KEY,
    TRUST,
    VAULT_POLICY,
    Found,
    Subjects,
    UnclearError,
    jwt_role,
    kind_of,
    policy,
    problem,
)
from keylease.audit.collectors.terraform_json import parse_json
from keylease.audit.hcl import Block, Call, HclError, Raw, parse
from keylease.audit.in_file import Declared
from keylease.audit.model import Location, Problem, Record

WORDS = {
    b"aws_iam_": (TRUST, IAM),
    b"managed_policy_arns": (ATTACHED,),
    b"aws_iam_role_policy_attachment": (ATTACHED,),
    b"aws_iam_policy_attachment": (ATTACHED,),
    b"vault_jwt_auth_backend_role": (ROLE,),
    b"vault_policy": (VAULT_POLICY,),
    **{name.encode(): (kind,) for name, kind in terraform_cloud.TYPES.items()},
    **{name.encode(): (STATIC_KEY,) for name in (*terraform_keys.MADE, *terraform_keys.STORED)},
}
"""What a file must hold to be of interest → the kinds that may be in it."""

_POLICIES = ("aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy")
_DATA = re.compile(r"data\.(aws_iam_policy_document|vault_policy_document)\.([\w-]+)(?:\[[^\]]*\])?\.(?:json|hcl)")
_PROVIDER = r"(?:data\.)?aws_iam_openid_connect_provider\.([\w-]+)(?:\[[^\]]*\])?\."
_ARN = re.compile(rf"\$\{{\s*{_PROVIDER}arn\s*\}}")
_URL = re.compile(rf"\$\{{\s*(?:replace\(\s*|trimprefix\(\s*)?{_PROVIDER}url\s*(?:,[^{{}}]*\))?\s*\}}")
_LOCAL = re.compile(r"\$\{\s*local\.([\w-]+)\s*\}")
_FILE = re.compile(r'file\(\s*"(?:\$\{path\.(?:module|root)\}/)?\.?/?([\w./-]+)"\s*\)')


def kinds_of(data: bytes) -> tuple[str, ...]:
    """The kinds that a file of Terraform may hold."""
    return tuple(dict.fromkeys(kind for word, kinds in WORDS.items() if word in data for kind in kinds))


def in_directory(
    files: Mapping[str, str], interesting: Mapping[str, Sequence[str]], known: set[str]
) -> Iterator[Found]:
    """What a directory's files declare together. interesting: path → kinds that may be there. known: all paths."""
    module = _Module(known)
    read: list[tuple[str, Block]] = []
    for path, text in files.items():
        try:
            root = parse_json(text) if path.endswith(".json") else parse(text)
        except HclError as error:
            kinds = interesting.get(path, ())
            place = Location(path, error.line)
            yield from (Problem(kind, f"it is no Terraform: {error}", "mend it", place) for kind in kinds)
            continue
        module.learn(root)
        module.keys.learn(text, root)
        read.append((path, root))
    for _, root in read:  # when all that names can refer to is known
        module.roles.learn(root, module.plain)
    for path, root in read:
        if interesting.get(path):
            yield from _File(path, module).of(root)


class _Module:
    """What one directory's files know of each other: providers' hosts, literal locals, documents."""

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.hosts: dict[str, str] = {}
        self.locals: dict[str, str] = {}
        self.documents: set[tuple[str, str]] = set()
        self.vault_documents: dict[str, Block] = {}
        self.google_policies: dict[str, Block] = {}
        self.roles = terraform_attached.Roles()
        self.keys = terraform_keys.Keys()

    def learn(self, root: Block) -> None:
        for block in root.blocks:
            if block.type == "locals":
                literals = {name: each.value for name, each in block.attributes.items()}
                self.locals |= {name: value for name, value in literals.items() if type(value) is str}
            elif len(block.labels) == 2 and block.labels[0] == "aws_iam_openid_connect_provider":
                url = block.value("url")
                if type(url) is str:
                    self.hosts[block.labels[1]] = re.sub(r"^https://", "", url).rstrip("/")
            elif block.type == "data" and len(block.labels) == 2:
                self.documents.add((block.labels[0], block.labels[1]))
                if block.labels[0] == "google_iam_policy":
                    self.google_policies[block.labels[1]] = block
                if block.labels[0] == "vault_policy_document":
                    self.vault_documents[block.labels[1]] = block

    def text(self, text: str) -> str:
        """`text` with what is known put in the place of references."""
        if "${" not in text:
            return text
        text = _LOCAL.sub(lambda match: self.locals.get(match[1], match[0]), text)
        text = _URL.sub(lambda match: self.hosts.get(match[1], match[0]), text)
        return _ARN.sub(
            lambda match: (
                f"arn:aws:iam::${{account}}:oidc-provider/{self.hosts[match[1]]}"
                if match[1] in self.hosts
                else match[0]
            ),
            text,
        )

    def plain(self, value: Any) -> Any:
        """A value with every expression as ``${its text}``."""
        if isinstance(value, Call):
            return self.text(f"${{{value.text}}}")
        if isinstance(value, Raw):
            return self.text(f"${{{value}}}")
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.plain(each) for each in value]
        if isinstance(value, dict):
            made = {self.text(key): self.plain(each) for key, each in value.items()}
            return {key: each for key, each in made.items() if each is not None}
        return value


class _File:
    def __init__(self, path: str, module: _Module) -> None:
        self._path = path
        self._module = module
        self._subjects = Subjects(path)

    def of(self, root: Block) -> Iterator[Found]:
        for block in root.blocks:
            if len(block.labels) != 2:
                continue
            kind, label = block.labels
            if block.type == "data" and kind == "aws_iam_policy_document":
                yield from self._document(block, label)
            if block.type != "resource":
                continue
            if kind in terraform_attached.TYPES:
                yield from self._module.roles.attached(block, self._path, self._module.plain, self._subjects)
            if kind == "aws_iam_role":
                yield from self._attribute(block, "assume_role_policy", TRUST, self._name(block, label), block)
                for inline in block.of("inline_policy"):
                    if "policy" in inline.attributes:
                        yield from self._attribute(inline, "policy", IAM, self._name(inline, label), block)
            elif kind in _POLICIES:
                yield from self._attribute(block, "policy", IAM, self._name(block, label), block)
            elif kind == "vault_jwt_auth_backend_role":
                yield self._role(block, label)
            elif kind == "vault_policy":
                yield from self._vault_policy(block, label)
            elif kind in terraform_keys.MADE:
                yield from self._module.keys.made(block, self._path, self._module.plain, self._subjects)
            elif kind in terraform_keys.STORED:
                yield from self._module.keys.stored(block, self._path, self._module.plain, self._subjects)
            elif kind in terraform_cloud.TYPES:
                yield from terraform_cloud.resource(
                    block, self._path, self._module.plain, self._subjects, self._module.google_policies
                )

    def _name(self, block: Block, label: str) -> str:
        given = block.value("name")
        text = self._module.text(given) if type(given) is str else ""
        return text if text and "${" not in text else label

    def _unclear(self, kind: str, line: int, why: str) -> Found:
        return problem(kind, self._path, line, why)

    def _made(self, kind: str, name: str, document: Mapping[str, Any], line: int, place: Declared) -> Found:
        subject = self._subjects.of(name, f"/{kind.partition('.')[2]}")
        facts = {"document": document, "name": name, **place.fact()}
        return Record(kind, subject, facts, Location(self._path, line))

    def _elsewhere(self, value: Any) -> bool:
        """Whether it is a document that is found, and judged, by itself."""
        reference = str(value.text if isinstance(value, Call) else value).strip()
        if found := _DATA.fullmatch(reference):
            return (found[1], found[2]) in self._module.documents
        if found := _FILE.fullmatch(reference):
            path = f"{self._path.rpartition('/')[0]}/{found[1]}".lstrip("/")
            return path in self._module.known and path.endswith((".json", ".hcl"))
        return False

    def _attribute(self, block: Block, key: str, kind: str, name: str, outer: Block) -> Iterator[Found]:
        attribute = block.attributes.get(key)
        if attribute is None:
            yield self._unclear(kind, block.line, f"{key} is not written out")
            return
        value, line = attribute.value, attribute.line
        if type(value) is str and (whole := re.fullmatch(r"\s*\$\{([^{}]*)\}\s*", value)):
            value = Raw(whole[1].strip())
        if isinstance(value, Raw | Call) and self._elsewhere(value):
            return
        try:
            if isinstance(value, Call) and value.name == "jsonencode" and len(value.arguments) == 1:
                document = policy(self._module.plain(value.arguments[0]))
            elif isinstance(value, Raw | Call) or not isinstance(value, str):
                raise UnclearError("it is computed")
            else:
                document = policy(self._module.text(_json_safe(value)))
        except UnclearError as error:
            yield self._unclear(kind, line, str(error))
            return
        form: Literal["hcl", "json"] = "hcl" if isinstance(value, Call) else "json"
        yield self._made(kind, name, document, line, Declared(_head(outer), form=form))

    def _document(self, block: Block, label: str) -> Iterator[Found]:
        text = " ".join(map(str, block.attributes)) + " ".join(each.type for each in block.blocks)
        kind = TRUST if any(each.of("principals") for each in block.of("statement")) else IAM
        for key in ("source_policy_documents", "override_policy_documents"):
            given = block.value(key)
            listed = given if isinstance(given, list) else [] if given is None else [given]
            if not all(isinstance(each, Raw) and self._elsewhere(each) for each in listed):
                yield self._unclear(kind, block.line, f"{key} takes in what is computed")
        if "dynamic" in text or any(each.of("dynamic") for each in block.of("statement")):
            yield self._unclear(kind, block.line, "it has dynamic blocks")
            return
        if not block.of("statement"):
            return
        try:
            document = policy(
                {"Version": "2012-10-17", "Statement": [self._statement(s) for s in block.of("statement")]}
            )
        except UnclearError as error:
            yield self._unclear(kind, block.line, str(error))
            return
        found = kind_of(document)
        if found:
            place = Declared(_head(block), form="blocks")
            yield self._made(found, label, document, block.of("statement")[0].line, place)

    def _statement(self, block: Block) -> dict[str, Any]:
        plain = self._module.plain
        made: dict[str, Any] = {"Effect": plain(block.value("effect")) or "Allow"}
        for key, name in (
            ("sid", "Sid"),
            ("actions", "Action"),
            ("not_actions", "NotAction"),
            ("resources", "Resource"),
            ("not_resources", "NotResource"),
        ):
            if block.value(key) is not None:
                # Policies' own variables are written &{…} here.
                made[name] = _variables(plain(block.value(key)))
        for key, name in (("principals", "Principal"), ("not_principals", "NotPrincipal")):
            grouped: dict[str, list[Any]] = {}
            for each in block.of(key):
                identifiers = plain(each.value("identifiers"))
                kind = str(plain(each.value("type")))
                grouped.setdefault(kind, []).extend(identifiers if isinstance(identifiers, list) else [identifiers])
            if grouped:
                made[name] = "*" if grouped.get("*") == ["*"] else grouped
        conditions: dict[str, dict[str, Any]] = {}
        for each in block.of("condition"):
            test, variable = str(plain(each.value("test"))), str(plain(each.value("variable")))
            values = _variables(plain(each.value("values")))
            listed = values if isinstance(values, list) else [values]
            conditions.setdefault(test, {}).setdefault(variable, []).extend(listed)
        if conditions:
            made["Condition"] = conditions
        return made

    def _role(self, block: Block, label: str) -> Found:
        given = {key: self._module.plain(each.value) for key, each in block.attributes.items()}
        for key in ("bound_claims", "bound_audiences", "token_policies"):
            if isinstance(given.get(key), str) and given[key].startswith("${"):
                return self._unclear(ROLE, block.attributes[key].line, f"{key} is computed")
        claims = given.get("bound_claims")
        if isinstance(claims, dict):
            # The provider splits texts at commas, as the API does not.
            given["bound_claims"] = {
                key: [part.strip() for part in value.split(",")] if isinstance(value, str) and "," in value else value
                for key, value in claims.items()
            }
        name = str(given.get("role_name") or label)
        name = label if "${" in name else name
        facts = jwt_role(given, name, str(given.get("backend") or "jwt"))
        facts["mount"] = "jwt" if "${" in facts["mount"] else facts["mount"]
        facts |= Declared(_head(block)).fact()
        return Record(ROLE, self._subjects.of(name, "/jwt_role"), facts, Location(self._path, block.line))

    def _vault_policy(self, block: Block, label: str) -> Iterator[Found]:
        value = block.value("policy")
        line = block.attributes["policy"].line if "policy" in block.attributes else block.line
        name = self._name(block, label)
        found = _DATA.fullmatch(str(value)) if isinstance(value, Raw) else None
        place = Declared(_head(block))
        if found and found[2] in self._module.vault_documents:
            document = self._module.vault_documents[found[2]]
            text, place = self._rules(document), Declared(_head(document), form="blocks")
        elif isinstance(value, str) and not isinstance(value, Raw):
            text = self._module.text(value)
        elif isinstance(value, Raw | Call) and self._elsewhere(value):
            return
        else:
            yield self._unclear(VAULT_POLICY, line, "it is computed")
            return
        if text is None:
            yield self._unclear(VAULT_POLICY, line, "a rule of it is computed")
            return
        facts = {"name": name, "text": text, **place.fact()}
        yield Record(VAULT_POLICY, self._subjects.of(name, "/policy"), facts, Location(self._path, line))

    def _rules(self, document: Block) -> str | None:
        import json

        if document.of("dynamic"):
            return None
        parts = []
        for rule in document.of("rule"):
            path, capabilities = self._module.plain(rule.value("path")), self._module.plain(rule.value("capabilities"))
            if not isinstance(path, str) or not isinstance(capabilities, list):
                return None
            parts.append(f"path {json.dumps(path)} {{\n  capabilities = {json.dumps(capabilities)}\n}}\n")
        return "".join(parts)


def _head(block: Block) -> list[str]:
    return [block.type, *block.labels]


def _variables(value: Any) -> Any:
    if isinstance(value, list):
        return [_variables(each) for each in value]
    return value.replace("&{", "${") if isinstance(value, str) else value


def _json_safe(text: str) -> str:
    """JSON with the quotes inside of ``${…}`` escaped, so that it can be read as JSON."""
    parts: list[str] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        depth, end = 1, start + 2
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        inner = text[start:end]
        parts += [text[at:start], inner.replace("\\", "\\\\").replace('"', '\\"')]
        at = end
    return "".join(parts) + text[at:]
