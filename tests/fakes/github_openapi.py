"""Requests and answers held against GitHub's published OpenAPI description (tests/data/github/openapi.json, MIT).

`problem(request, status, body)` says what does not fit, or nothing; `sample(name)` makes an object of a schema.
Errors (401, 403, 404, 409, 422, 429, 5xx) are documented for few paths and given by all: any path may answer so, with a
``basic-error``.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema  # type: ignore[import-untyped]

from tests.fakes.loopback import Received

SPEC = json.loads((Path(__file__).parents[1] / "data" / "github" / "openapi.json").read_text(encoding="utf-8"))

ERRORS = {304, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504}


def _plain(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's words."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _plain(value) for key, value in node.items()}
    if made.pop("nullable", False) is True and "type" in made:
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list):
            made["enum"] = [*made["enum"], None]
    elif node.get("nullable") is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


COMPONENTS = {"schemas": _plain(SPEC["components"]["schemas"])}

_TEMPLATES = [
    # A literal segment goes before a parameter: …/secrets/public-key is no secret.
    (
        re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)).replace("(?P<path>[^/]+)", ".*")),
        template,
    )
    for template in sorted(SPEC["paths"], key=lambda text: ("{" in text.rpartition("/")[2], text))
]


def _followed(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    _, _, group, name = node["$ref"].split("/")
    found: dict[str, Any] = SPEC["components"][group][name]
    return found


@cache
def _template(path: str) -> str:
    return next((template for pattern, template in _TEMPLATES if pattern.fullmatch(path)), "")


@cache
def _validator(template: str, method: str, status: int) -> Any:
    """Of a request's body (status 0) or an answer's; None if there is no body."""
    operation = SPEC["paths"][template][method]
    part = operation.get("requestBody", {}) if status == 0 else _followed(operation["responses"][str(status)])
    content = part.get("content", {}).get("application/json")
    if content is None:
        return None
    return jsonschema.Draft4Validator({"allOf": [_plain(content["schema"])], "components": COMPONENTS})


_ERROR = jsonschema.Draft4Validator({"allOf": [COMPONENTS["schemas"]["basic-error"]], "components": COMPONENTS})


def problem(request: Received, status: int, body: bytes) -> str:
    """What of a request or its answer is not as GitHub describes it; empty when all is."""
    template = _template(unquote(request.path).replace("//", "/") if "%2F" not in request.target else request.path)
    operation = SPEC["paths"].get(template, {}).get(request.method.lower())
    if operation is None:
        return f"no such request: {request.method} {request.path}"
    wrong = [*_request(template, operation, request, status), *_answer(template, operation, request, status, body)]
    return "; ".join(f"{request.method} {template}: {each}" for each in wrong)


def _request(template: str, operation: dict[str, Any], request: Received, status: int) -> Iterator[str]:
    known = {}
    for each in map(_followed, operation.get("parameters", [])):
        if each["in"] == "query":
            known[each["name"]] = each["schema"]
    for name, values in request.query.items():
        if name not in known:
            yield f"the parameter {name} is not described"
        elif len(values) != 1 or (known[name].get("type") == "integer" and not values[0].isdigit()):
            yield f"the parameter {name} is {values}"
    validator = _validator(template, request.method.lower(), 0)
    if request.body and validator is None:
        yield "a body"
    elif validator is not None and (request.body or "requestBody" in operation) and status not in (400, 422):
        if request.header("Content-Type").partition(";")[0] != "application/json" and request.body:
            yield f"a body of type {request.header('Content-Type')!r}"
        data = json.loads(request.body) if request.body else {}
        yield from (f"request: {error.message[:200]}" for error in validator.iter_errors(data))
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        yield from (f"request: {name} is not described" for name in data if name not in schema.get("properties", {}))


def _answer(template: str, operation: dict[str, Any], request: Received, status: int, body: bytes) -> Iterator[str]:
    if str(status) in operation["responses"] and status < 300:
        validator = _validator(template, request.method.lower(), status)
        if validator is None:
            if body not in (b"", b"{}"):
                yield f"a body with {status}"
        else:
            yield from (f"answer: {error.message[:200]}" for error in validator.iter_errors(json.loads(body)))
    elif status not in ERRORS:
        yield f"status {status} is not described"
    elif status >= 400:
        yield from (f"answer: {error.message[:200]}" for error in _ERROR.iter_errors(json.loads(body)))


def sample(schema_name: str, /, **given: object) -> dict[str, Any]:
    """An object of a schema: `given`, and something for what else must be there."""
    schema = SPEC["components"]["schemas"][schema_name]
    made = {key: _value(schema["properties"][key]) for key in schema.get("required", ()) if key not in given}
    return {**made, **given}


def _value(schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return None if name.startswith("nullable-") else sample(name)
    if schema.get("nullable"):
        return None
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema or "oneOf" in schema or "allOf" in schema:
        return _value((schema.get("anyOf") or schema.get("oneOf") or schema["allOf"])[0])
    kind = schema.get("type", "object")
    if kind == "object":
        return {key: _value(schema["properties"][key]) for key in schema.get("required", ())}
    simple: dict[str, Any] = {"string": "x", "integer": 1, "number": 1, "boolean": False, "array": []}
    if kind == "string" and schema.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    return simple[kind]
