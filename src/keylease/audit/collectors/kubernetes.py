"""Kubernetes manifests: what they say of credentials, and never a value.

Secret: https://kubernetes.io/docs/concepts/configuration/secret/; SecretStore and ClusterSecretStore:
https://external-secrets.io/latest/api/secretstore/; annotations of the Vault Agent Injector:
https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any

from keylease.audit.collectors.policies import Found, Path, Subjects
from keylease.audit.literals import MAY_HOLD, credentials_in, is_placeholder
from keylease.audit.model import Location, Record
from keylease.audit.trees import Tree

KIND = "file.kubernetes"

_KINDS = re.compile(rb"""kind["']?\s*:\s*["']?(?:Secret(?:List|Store|StoreList)?|ClusterSecretStore(?:List)?)\b""")
_WORDS = (b"eks.amazonaws.com/role-arn", b"iam.gke.io/gcp-service-account", b"vault.hashicorp.com/")
_ACCOUNTS = ("eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account")
_INJECTOR = "vault.hashicorp.com/"
_INJECTED = ("agent-inject", "agent-inject-token", "tls-skip-verify", "role")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@]*:(?![<$*{%])[^@\s/]+@")

_STATIC: dict[str, Sequence[tuple[str, ...]]] = {
    "aws": [("auth", "secretRef")],
    "gcpsm": [("auth", "secretRef")],
    "azurekv": [("authSecretRef", "clientSecret")],
    "conjur": [("auth", "apikey")],
    "vault": [
        ("auth", "tokenSecretRef"),
        ("auth", "appRole"),
        ("auth", "userPass"),
        ("auth", "ldap"),
        ("auth", "iam", "secretRef"),
        ("auth", "kubernetes", "secretRef"),
        ("auth", "jwt", "secretRef"),
    ],
}
"""Provider of the External Secrets Operator that can do without → where a stored credential is named."""


def is_interesting(data: bytes) -> bool:
    """Whether a file may hold a manifest that any rule is for; cheap, and rather too often."""
    if b"apiVersion" not in data:
        return False
    if _KINDS.search(data) or any(word in data for word in _WORDS):
        return True
    return b"env" in data and MAY_HOLD.search(data) is not None


def in_trees(trees: Sequence[Tree], path: str) -> Iterator[Found]:
    """The records of a file's documents."""
    subjects = Subjects(path)
    for tree in trees:
        for at, manifest in _manifests(tree.data, ()):
            if facts := _facts(tree, at, manifest):
                name = "/".join(filter(None, (facts["kind"], facts["namespace"], facts["name"])))
                yield Record(KIND, subjects.of(name, ""), facts, Location(path, tree.line(*at) or 1))


def _manifests(node: Any, at: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A document's objects: itself, or the items of a list."""
    if not isinstance(node, dict) or not isinstance(node.get("kind"), str) or len(at) > 8:
        return
    items = node.get("items")
    if node["kind"].endswith("List") and isinstance(items, list):
        for number, each in enumerate(items):
            yield from _manifests(each, (*at, "items", number))
    elif isinstance(node.get("apiVersion"), str):
        yield at, node


def _facts(tree: Tree, at: Path, node: dict[str, Any]) -> dict[str, Any]:
    """Empty: no rule is for it."""
    api, kind, metadata = node["apiVersion"], node["kind"], _map(node.get("metadata"))
    made: dict[str, Any] = {}
    if kind == "Secret" and api == "v1":
        made = {"type": _text(node.get("type")), "keys": list(_keys(tree, at, node))}
    elif kind in ("SecretStore", "ClusterSecretStore") and api.startswith("external-secrets.io/"):
        made = _store(tree, at, node)
    elif kind == "ServiceAccount" and api == "v1":
        given = _map(metadata.get("annotations"))
        accounts = {key: _cut(given[key]) for key in _ACCOUNTS if isinstance(given.get(key), str) and given[key]}
        made = {"accounts": accounts} if accounts else {}
    else:
        made = _pods(tree, at, node)
    if not made:
        return {}
    name = _text(metadata.get("name")) or _text(metadata.get("generateName"))
    return {"api": _cut(api), "kind": _cut(kind), "name": name, "namespace": _text(metadata.get("namespace")), **made}


def _keys(tree: Tree, at: Path, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a Secret's fields hold. state: value, empty, placeholder, encrypted (by SOPS) or template."""
    for field in ("data", "stringData"):
        for name, value in _map(node.get(field)).items():
            state, text = _state(value, encoded=field == "data")
            known = next(credentials_in(text, name), None)
            what = known.what if known else "URL with a password" if _LOGIN.search(text) else ""
            line = tree.line(*at, field, name)
            yield {"name": _cut(name), "state": state, "what": what if state == "value" else "", "line": line}


def _state(value: Any, *, encoded: bool) -> tuple[str, str]:
    """(state, the text that is there). The text must go no further than this file."""
    if not isinstance(value, str):
        return "template", ""
    text = value.strip()
    if encoded and text and not is_placeholder(text):
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
            text = data.decode("utf-8", "replace").strip()
        except (ValueError, binascii.Error):
            pass  # no manifest that a cluster takes; yet something is there
    if not text:
        return "empty", ""
    if text.startswith("ENC["):
        return "encrypted", ""
    return ("placeholder", "") if is_placeholder(text) and "\n" not in text else ("value", text)


def _store(tree: Tree, at: Path, node: dict[str, Any]) -> dict[str, Any]:
    """A store of the External Secrets Operator. static: stored credentials that it signs in with."""
    spec = _map(node.get("spec"))
    static = []
    providers = _map(spec.get("provider"))
    for provider, given in providers.items():
        for steps in _STATIC.get(provider, ()):
            found: Any = given
            for step in steps:
                found = _map(found).get(step)
            identity = provider == "azurekv" and _map(given).get("authType", "ServicePrincipal") != "ServicePrincipal"
            if isinstance(found, dict) and found and not identity:
                where = ("spec", "provider", provider, *steps)
                static.append({"path": ".".join(where[2:]), "line": tree.line(*at, *where)})
    made: dict[str, Any] = {"provider": _cut(next(iter(providers), "")), "static": static}
    if node["kind"] == "ClusterSecretStore":
        given = spec.get("conditions")
        given = None if given in ("", "null", "~") else given  # a scalar is its text here
        made["any_namespace"] = not given or (isinstance(given, list) and any(map(_is_open, given)))
        made["line"] = tree.line(*at, "spec", "conditions") if given else tree.line(*at, "spec")
    return made


def _is_open(condition: Any) -> bool:
    """Whether a condition lets in every namespace: each one's fields count by themselves."""
    if not isinstance(condition, dict):
        return False
    selector, patterns = condition.get("namespaceSelector"), condition.get("namespaceRegexes")
    every = isinstance(patterns, list) and any(each in (".*", "^.*$", ".+", "^.+$") for each in patterns)
    return every or (isinstance(selector, dict) and not any(selector.values()))


def _pods(tree: Tree, at: Path, node: dict[str, Any]) -> dict[str, Any]:
    """Of whatever makes pods: annotations of Vault's injector, and credentials among the variables."""
    injector: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    variables = 0
    for here, pod in _templates(node, at):
        annotations = _map(_map(pod.get("metadata")).get("annotations"))
        for name in _INJECTED:
            value = annotations.get(_INJECTOR + name)
            if isinstance(value, str):
                line = tree.line(*here, "metadata", "annotations", _INJECTOR + name)
                injector[name] = {"value": _cut(value), "line": line}
        for container, entry, where in _variables(_map(pod.get("spec")), (*here, "spec")):
            variables += 1
            name, value = _text(entry.get("name")), entry.get("value")
            if not isinstance(value, str):
                continue
            for each in credentials_in(value, name):
                one = {"container": container, "name": name, "what": each.what, "prefix": each.prefix}
                number = sum(one.items() <= other.items() for other in found)
                line = tree.line(*where, "value")
                found.append({**one, "length": len(each.value), "number": number, "line": line})
    if not injector and not variables:
        return {}
    return {"injector": injector, "environment": found, "variables": variables}


def _templates(node: dict[str, Any], at: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The pod itself, or what it is made from: of Deployments, Jobs, CronJobs and others of the same form."""
    if node["kind"] == "Pod":
        yield at, node
    spec = _map(node.get("spec"))
    if isinstance(spec.get("template"), dict):
        yield (*at, "spec", "template"), spec["template"]
    job = _map(_map(_map(spec.get("jobTemplate")).get("spec")).get("template"))
    if job:
        yield (*at, "spec", "jobTemplate", "spec", "template"), job


def _variables(spec: dict[str, Any], at: Path) -> Iterator[tuple[str, dict[str, Any], Path]]:
    for kind in _CONTAINERS:
        containers = spec.get(kind)
        for number, each in enumerate(containers if isinstance(containers, list) else []):
            given = _map(each).get("env")
            for index, entry in enumerate(given if isinstance(given, list) else []):
                if isinstance(entry, dict):
                    yield _text(each.get("name")), entry, (*at, kind, number, "env", index)


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return _cut(value) if isinstance(value, str) else ""


def _cut(text: str) -> str:
    """No name of Kubernetes is longer."""
    return text[:253]
