"""Policies and roles in JSON and YAML documents, whatever wraps them.

AWS: a policy by itself; what the AWS CLI prints (get-role, list-roles, get-role-policy, get-policy-version,
get-account-authorization-details); CloudFormation and SAM templates. Vault: a JWT role as its API takes and gives it,
a policy in HCL's JSON form.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from keylease.audit.in_file import Declared
from keylease.audit.model import Location, Problem, Record
from keylease.audit.trees import Tree, TreeError, json_tree

TRUST, IAM, ROLE, VAULT_POLICY = "aws.trust_policy", "aws.iam_policy", "vault.jwt_role", "vault.policy"
ATTACHED = "aws.role_policies"
"""A role and the AWS managed policies that it has. name, policies: ARNs; trust: names of its trust policy's records."""

STATIC_KEY = "iac.static_key"
"""A resource of Terraform or CloudFormation that makes a key, or puts one into CI settings."""

_NAMES = ("RoleName", "ManagedPolicyName", "PolicyName", "UserName", "GroupName", "Name")

_LISTS = ("bound_audiences", "token_policies", "policies", "token_bound_cidrs")
_DURATIONS = ("token_ttl", "token_max_ttl", "token_period", "token_explicit_max_ttl")
_FLAGS = ("token_no_default_policy",)
_MAPS = ("bound_claims", "claim_mappings")
_TEXTS = ("role_type", "bound_claims_type", "bound_subject", "user_claim", "groups_claim")

Found = Record | Problem
Path = tuple[str | int, ...]


class UnclearError(ValueError):
    """A policy is there, and can't be read. The text says why."""


def in_tree(tree: Tree, path: str) -> Iterator[Found]:
    """All policies and roles of a document. path: of its file."""
    yield from _Search(path, tree.line).of(tree.data, (), "")


def problem(kind: str, path: str, line: int, why: str) -> Problem:
    """A policy that could not be read."""
    what = {
        TRUST: "a trust policy",
        IAM: "an IAM policy",
        ATTACHED: "a role's managed policies",
        ROLE: "a JWT role",
        VAULT_POLICY: "a Vault policy",
    }[kind]
    return Problem(
        kind,
        f"{what} can't be judged: {why}",
        "write it out as literal JSON, or check it where it is applied",
        Location(path, line),
    )


class Subjects:
    """Names things of one file, each by its own name, or by where it is if two have the same."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._taken: set[str] = set()

    def of(self, name: str, pointer: str) -> str:
        """``file://path#name``."""
        wanted = f"file://{self._path}#{name or pointer}" if name or pointer else f"file://{self._path}"
        found = wanted if wanted not in self._taken else f"{wanted}{pointer}"
        number = 2
        while found in self._taken:
            found, number = f"{wanted}#{number}", number + 1
        self._taken.add(found)
        return found


class _Search:
    def __init__(self, path: str, line: Callable[..., int]) -> None:
        self._path = path
        self._line = line
        self._subjects = Subjects(path)

    def of(self, node: Any, at: Path, name: str) -> Iterator[Found]:
        """Whatever is in `node`. name: of the nearest thing around it that has one."""
        if isinstance(node, list):
            for number, each in enumerate(node):
                yield from self.of(each, (*at, number), name)
            return
        if not isinstance(node, dict):
            return
        name = _name_of(node, at) or name
        if node.get("Type") == "AWS::IAM::AccessKey":
            facts = {"type": node["Type"], "label": str(at[-1]) if at else "", "provider": "aws"}
            place = Location(self._path, self._line(*at) or 1)
            yield Record(STATIC_KEY, self._subjects.of(facts["label"], _pointer(at)), facts, place)
            return
        if "user_claim" in node and any(key in node for key in ("role_type", *_MAPS, "bound_audiences")):
            yield self._role(node, at)
            return
        if isinstance(node.get("path"), dict) and any(
            isinstance(each, dict) and "capabilities" in each for each in node["path"].values()
        ):
            yield self._vault_policy(node["path"], at)
            return
        if is_policy(node):
            yield from self._policy(node, at, name)
            return
        for key, value in node.items():
            here = (*at, key)
            if key == "AssumeRolePolicyDocument":
                yield from self._policy(value, here, name, TRUST)
            elif key == "PolicyDocument" or (key == "Document" and "VersionId" in node):
                if node.get("IsDefaultVersion") != "false":
                    yield from self._policy(value, here, name)
            else:
                yield from self.of(value, here, name)
        if "AssumeRolePolicyDocument" in node:
            yield from self._attached(node, at, name)

    def _policy(self, value: Any, at: Path, name: str, kind: str = "") -> Iterator[Found]:
        try:
            document = policy(value)
        except UnclearError as error:
            # What it would be is told by the same as in `kind_of`: rules of both must not take it for judged.
            unclear = (kind,) if kind else (TRUST, IAM) if "Principal" in str(value) else (IAM,)
            for each in unclear:
                yield problem(each, self._path, self._line(*at), str(error))
            return
        kind = kind or kind_of(document)
        if kind:
            facts = {"document": document, "name": name}
            yield Record(kind, self._subjects.of(name, _pointer(at)), facts, Location(self._path, self._line(*at) or 1))

    def _attached(self, node: Mapping[str, Any], at: Path, name: str) -> Iterator[Found]:
        """Of CloudFormation (ManagedPolicyArns) or of what the AWS CLI prints (AttachedManagedPolicies)."""
        for key in ("ManagedPolicyArns", "AttachedManagedPolicies"):
            if key not in node:
                continue
            here = (*at, key)
            given = _plain(node[key])
            listed = [each.get("PolicyArn") if isinstance(each, dict) else each for each in _listed(given)]
            arns = [each for each in listed if isinstance(each, str)]
            if not isinstance(given, list) or len(arns) < len(listed):
                yield problem(ATTACHED, self._path, self._line(*here), "it is computed")
            if arns:
                facts = {"name": name, "policies": arns, "trust": [name]}
                if key == "ManagedPolicyArns":  # the other is only what an account was found to have
                    facts |= Declared(attribute=key, value=node[key], meant=[*map(_plain, _listed(node[key]))]).fact()
                subject = self._subjects.of(f"{name}/managed_policies" if name else "", _pointer(here))
                yield Record(ATTACHED, subject, facts, Location(self._path, self._line(*here) or 1))

    def _role(self, node: Mapping[str, Any], at: Path) -> Found:
        stem = self._path.rpartition("/")[2].partition(".")[0]
        name = next((str(node[key]) for key in ("name", "role_name") if isinstance(node.get(key), str)), stem)
        facts = jwt_role(node, name, str(node.get("mount") or "jwt"))
        return Record(ROLE, self._subjects.of(name, _pointer(at)), facts, Location(self._path, self._line(*at) or 1))

    def _vault_policy(self, paths: Mapping[str, Any], at: Path) -> Found:
        import json

        stem = self._path.rpartition("/")[2].partition(".")[0]
        lines = []
        for path, body in paths.items():
            given = body.get("capabilities") if isinstance(body, dict) else None
            if not isinstance(given, list):
                return problem(VAULT_POLICY, self._path, self._line(*at), "a path of it has no list of capabilities")
            lines.append(f"path {json.dumps(path)} {{\n  capabilities = {json.dumps(given)}\n}}\n")
        subject = self._subjects.of("", _pointer(at))
        return Record(
            VAULT_POLICY,
            subject,
            {"name": stem, "text": "".join(lines)},
            Location(self._path, self._line(*at) or 1),
        )


def _name_of(node: Mapping[str, Any], at: Path) -> str:
    given = next((node[key] for key in _NAMES if isinstance(node.get(key), str)), "")
    if not given and at and at[-1] == "Properties":
        return str(at[-2]) if len(at) > 1 else ""
    return str(given)


def _pointer(at: Path) -> str:
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in at)


# AWS.


def is_policy(node: Mapping[str, Any]) -> bool:
    """Whether it looks like a policy by itself: statements with an effect."""
    statements = node.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    return any(isinstance(each, dict) and "Effect" in each for each in listed)


def policy(value: Any) -> dict[str, Any]:
    """The plain policy: `Statement` is a list, CloudFormation's functions are text. Raises :class:`UnclearError`."""
    value = _plain(value)
    if isinstance(value, str):
        text = unquote(value) if value.lstrip()[:3].upper() == "%7B" else value
        try:
            value = _plain(json_tree(text).data)
        except TreeError:
            why = "it is computed" if "{" not in text.replace("${", "") else "it is no JSON"
            raise UnclearError(why) from None
    if not isinstance(value, dict):
        raise UnclearError("it is computed, or no policy")
    statements = value.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed or any(not each or not isinstance(each, dict) for each in listed):
        raise UnclearError("it has no statements, or one of them is computed")
    for each in filter(None, listed):
        if each.get("Effect") not in ("Allow", "Deny"):
            raise UnclearError("a statement's Effect is neither Allow nor Deny")
        if not isinstance(each.get("Condition", {}), dict):
            raise UnclearError("a statement's Condition is computed, or no mapping")
    if _work([each for each in listed if each]) > MAX_WORK:
        raise UnclearError("it has more statements with wildcards than can be tried out")
    found = {**value, "Statement": listed}
    if kind_of(found) and _size(found) > MAX_SIZE:
        raise UnclearError(f"it is longer than {MAX_SIZE} characters")
    return found


MAX_SIZE = 40_000
"""Characters of a policy without blanks. AWS takes 10,240 at the most of those that are judged here:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-entity-length"""

MAX_WORK = 200_000
"""Of :func:`_work`: some seconds. AWS takes no trust policy of more than 4,096 characters."""


def _work(statements: Sequence[Mapping[str, Any]]) -> int:
    """How much there is to try out of a trust policy: each pattern against each statement."""
    condition = [each.get("Condition") for each in statements if "Principal" in each or "NotPrincipal" in each]
    texts = [str(text) for each in condition for text in _leaves(each)]
    wild = (min(re.sub(r"\*+", "*", text).count("*"), 3) for text in texts)
    return len(condition) * sum(30 + (1, 13, 169, 2197)[number] for number in wild)


def _size(node: Any) -> int:
    return sum(len(str(each)) for each in _leaves(node))


def _leaves(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _leaves(each)
    else:
        yield node


def kind_of(document: Mapping[str, Any]) -> str:
    """Of a policy that stands by itself; empty for one of a resource, which no rule is for."""
    statements: Sequence[Mapping[str, Any]] = document["Statement"]
    if not any("Principal" in each or "NotPrincipal" in each for each in statements):
        return IAM
    if any("Resource" in each or "NotResource" in each for each in statements):
        return ""
    actions = [action for each in statements for action in _listed(each.get("Action"))]
    return TRUST if any(str(each).lower().startswith(("sts:", "*")) for each in actions) else ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(node: Any) -> Any:
    """`node` with CloudFormation's functions as their text; what can't be known stays visible as ``${…}``."""
    if isinstance(node, list):
        found: list[Any] = []
        for each in node:
            # Either branch may come to be: a policy is judged with both.
            chosen = each["Fn::If"][1:] if _is_if(each) else [each]
            found += [made for one in chosen if (made := _plain(one)) != "${AWS::NoValue}"]
        return found
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        name, value = next(iter(node.items()))
        if name == "Ref" or name.startswith("Fn::"):
            return _function(name, _plain(value))
    return {key: _plain(value) for key, value in node.items()}


def _is_if(node: Any) -> bool:
    return (
        isinstance(node, dict) and len(node) == 1 and isinstance(node.get("Fn::If"), list) and len(node["Fn::If"]) == 3
    )


def _function(name: str, value: Any) -> Any:
    if name == "Fn::Sub":
        return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else value
    if name == "Fn::Join" and isinstance(value, list) and len(value) == 2 and isinstance(value[1], list):
        if all(isinstance(each, str) for each in value[1]):
            return str(value[0]).join(value[1])
        return "${Join}"
    if name == "Ref":
        return f"${{{value}}}"
    if name == "Fn::GetAtt":
        return f"${{{'.'.join(map(str, value)) if isinstance(value, list) else value}}}"
    return f"${{{name.removeprefix('Fn::')}}}"


# Vault.


def jwt_role(given: Mapping[str, Any], name: str, mount: str) -> dict[str, Any]:
    """The facts of a role, as the API has them: lists, seconds, booleans; what was not given is not there."""
    facts: dict[str, Any] = {"name": name, "mount": mount.strip("/")}
    for key in _TEXTS:
        if given.get(key) is not None:
            facts[key] = str(given[key])
    for key in _LISTS:
        if given.get(key) not in (None, ""):
            value = given[key]
            facts["token_policies" if key == "policies" else key] = (
                [str(each) for each in value]
                if isinstance(value, list)
                else [each.strip() for each in str(value).split(",")]
            )
    for key in _DURATIONS:
        if given.get(key) is not None:
            facts[key] = duration(str(given[key]))
    for key in _FLAGS:
        if given.get(key) is not None:
            facts[key] = str(given[key]) == "true"
    for key in _MAPS:
        if isinstance(given.get(key), dict):
            facts[key] = dict(given[key])
    return facts


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> int | str:
    """Vault's duration (``1h30m``, ``3600``) in seconds; the text itself if it is none."""
    parts = re.findall(r"(\d{1,12})([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return text
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
