"""Make tests/data/github/openapi.json anew: the paths of GitHub's REST API that Keylease uses, and what they refer to.

    npm install @octokit/openapi@23.0.2          # MIT
    cd node_modules/@octokit/openapi/generated && python .../tools/github_openapi.py api.github.com.json ghec.json

The second one is asked for what the first lacks: the audit log is Enterprise Cloud's. Descriptions, examples and
GitHub's own extensions are left out.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "github" / "openapi.json"

PATHS = [
    r"/(repos/{owner}/{repo}|orgs/{org})/(actions/(secrets|variables)|(dependabot|codespaces)/secrets)(/.*)?",
    r"/repos/{owner}/{repo}/environments/{environment_name}/(secrets|variables)(/.*)?",
    r"/repos/{owner}/{repo}",
    r"/orgs/{org}/(properties/values|repos|installation)",
    r"/users/{username}/installation",
    r"/app/installations/{installation_id}/access_tokens",
    r"/installation/token",
    # The audit's.
    r"/repos/{owner}/{repo}/(environments|keys|actions/permissions/workflow|contents/{path}|git/blobs/{file_sha})",
    r"/repos/{owner}/{repo}/environments/{environment_name}/deployment(-branch-policies|_protection_rules)",
    r"/orgs/{org}(/(installations|personal-access-tokens|members|audit-log|actions/permissions/workflow))?",
]
READ_ONLY = (
    *("/repos", "/values", "/keys", "/workflow", "/contents/{path}", "/environments", "/installations", "/members"),
    *("/personal-access-tokens", "/deployment-branch-policies", "/deployment_protection_rules", "/{repo}", "/{org}"),
)
"""What the path ends with where nothing is written."""
METHODS = ("get", "put", "post", "patch", "delete")
DROPPED = {"example", "examples", "x-github", "externalDocs", "operationId", "tags", "summary", "deprecated"}


def trimmed(node: Any, *, names: bool = False) -> Any:
    """Without what a validator has no use for. names: the keys are names of properties, not words of OpenAPI."""
    if isinstance(node, list):
        return [trimmed(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if names or not (key in DROPPED or (key == "description" and isinstance(value, str))):
            kept[key] = trimmed(value, names=key in ("properties", "responses") and not names)
    return kept


def references(node: Any) -> set[str]:
    """All ``$ref`` below `node`."""
    if isinstance(node, list):
        return set().union(*map(references, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return found.union(*map(references, node.values())) if node else found


def main(path: str, more: str) -> None:
    """Write the extract."""
    whole, cloud = (json.loads(Path(each).read_text(encoding="utf-8")) for each in (path, more))
    whole["paths"] = {**cloud["paths"], **whole["paths"]}
    for group, known in cloud["components"].items():
        whole["components"][group] = {**known, **whole["components"].get(group, {})}
    paths = {
        template: {
            method: trimmed(operation)
            for method, operation in item.items()
            if method in METHODS and (method == "get" or not template.endswith(READ_ONLY))
        }
        for template, item in whole["paths"].items()
        if any(re.fullmatch(pattern.replace("{", r"\{").replace("}", r"\}"), template) for pattern in PATHS)
    }  # fmt: skip
    components: dict[str, dict[str, Any]] = {}
    todo = references(paths)
    while todo:
        ref = todo.pop()
        _, _, group, name = ref.split("/")
        if name not in components.setdefault(group, {}):
            components[group][name] = trimmed(whole["components"][group][name])
            todo |= references(components[group][name])
    info = {"title": "GitHub REST API, an extract", "version": whole["info"]["version"], "license": {"name": "MIT"}}
    made = {"openapi": whole["openapi"], "info": info, "paths": paths, "components": components}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(made, sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{OUT}: {len(paths)} paths, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
