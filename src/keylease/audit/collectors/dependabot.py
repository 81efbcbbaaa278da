"""Dependabot's settings: which registries it signs in to and with what, and whether code of dependencies may run.

https://docs.github.com/code-security/dependabot/working-with-dependabot/dependabot-options-reference
"""

from typing import Any

from keylease.audit.literals import credentials_in, is_placeholder
from keylease.audit.trees import Tree

_SECRETS = ("token", "password", "key", "auth-key")


def facts(tree: Tree) -> dict[str, Any]:
    """What the rules need, without any value. literal: fields that hold a credential in clear."""
    registries = tree.at("registries")
    updates = tree.at("updates")
    found = registries.items() if isinstance(registries, dict) else ()
    listed = enumerate(updates) if isinstance(updates, list) else ()
    return {
        "registries": [_registry(tree, name, each) for name, each in found if isinstance(each, dict)],
        "updates": [_update(tree, number, each) for number, each in listed if isinstance(each, dict)],
    }


def _registry(tree: Tree, name: str, given: dict[str, Any]) -> dict[str, Any]:
    literals = []
    for field in _SECRETS:
        value = given.get(field)
        if not isinstance(value, str) or not value.strip() or "${{" in value:
            continue
        known = next(credentials_in(value, field), None)
        if known or not is_placeholder(value):
            line = tree.line("registries", name, field)
            literals.append(
                {
                    "field": field,
                    "line": line,
                    "what": known.what if known else "",
                    "prefix": known.prefix if known else "",
                    "length": len(value),
                }
            )
    return {"name": name, "type": _text(given.get("type")), "line": tree.line("registries", name), "literal": literals}


def _update(tree: Tree, number: int, given: dict[str, Any]) -> dict[str, Any]:
    named = given.get("registries")
    listed = named if isinstance(named, list) else [] if named is None else [named]
    key = "insecure-external-code-execution"
    return {
        "ecosystem": _text(given.get("package-ecosystem")),
        "directory": _text(given.get("directory")),
        "registries": [each for each in listed if isinstance(each, str) and each],
        "runs_code": given.get(key) == "allow",
        "line": tree.line("updates", number, key) if key in given else tree.line("updates", number),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
