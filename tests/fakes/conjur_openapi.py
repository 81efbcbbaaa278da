"""Requests and answers held against Conjur's published OpenAPI (tests/data/conjur-openapi.json, Apache License 2.0).

`problem(request, status, content_type, body)` says what does not fit, or nothing.

Where the specification and the server's source differ (https://github.com/cyberark/conjur, app/controllers), `BEYOND`
has what the server does.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jsonschema  # type: ignore[import-untyped]

from tests.fakes.loopback import Received

SPEC = json.loads((Path(__file__).parents[1] / "data" / "conjur-openapi.json").read_text(encoding="utf-8"))

BEYOND = {
    # authenticate_controller.rb, handle_authentication_error: RoleNotAuthorizedOnResource, Concurrency…
    ("/authn-jwt/{service_id}/{account}/authenticate", 403): None,
    ("/authn-jwt/{service_id}/{account}/{id}/authenticate", 403): None,
    # secrets_controller.rb, show: the variable's annotation conjur/mime_type, else application/octet-stream.
    ("/secrets/{account}/{kind}/{identifier}", 200): "application/octet-stream",
}


def problem(request: Received, status: int, content_type: str, body: bytes) -> str:
    """What of a request or its answer is not as the specification says; empty when all is."""
    for template, item in SPEC["paths"].items():
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), request.path)
        if found:
            operation = item.get(request.method.lower())
            if operation is None:
                return f"{template} has no {request.method}"
            wrong = [
                *_request(operation, request, found.groupdict()),
                *_answer(template, operation, status, content_type),
            ]
            return "; ".join(f"{template}: {each}" for each in [*wrong, *_body(operation, status, body)])
    return f"no such path: {request.path}"


def _request(operation: dict[str, Any], request: Received, path: dict[str, str]) -> Iterator[str]:
    known = {"path": path, "query": {k: v[-1] for k, v in request.query.items()}, "header": None}
    named: set[str] = set()
    for parameter in operation["parameters"]:
        name, where = parameter["name"], parameter["in"]
        named.add(name)
        values = known[where]
        value = request.header(name) or None if values is None else values.get(name)
        if name == "Accept-Encoding" and value != "base64":
            continue  # "base64" is what is special about it; any client sends others
        if value is None:
            if parameter.get("required"):
                yield f"{name} is missing"
            continue
        schema = parameter["schema"]
        yield from _wrong(name, int(value) if schema.get("type") == "integer" and value.isdigit() else value, schema)
    yield from (f"{name} is not documented" for name in request.query if name not in named)
    content = operation.get("requestBody", {}).get("content", {})
    kind = request.header("Content-Type").partition(";")[0]
    if content and kind not in content:
        yield f"a body of type {kind!r}"
    elif content:
        form = {k: v[-1] for k, v in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        schema = content[kind]["schema"]
        yield from _wrong(
            "body", form, {**schema, "additionalProperties": False, "required": list(schema["properties"])}
        )
    elif request.body:
        yield "a body"


def _answer(template: str, operation: dict[str, Any], status: int, content_type: str) -> Iterator[str]:
    if str(status) not in operation["responses"] and (template, status) not in BEYOND:
        yield f"status {status} is not documented"
        return
    documented = operation["responses"].get(str(status), {}).get("content", {})
    kind = content_type.partition(";")[0]
    if documented and kind not in documented and BEYOND.get((template, status)) != kind:
        yield f"an answer of type {kind!r}"


def _body(operation: dict[str, Any], status: int, body: bytes) -> Iterator[str]:
    documented = operation["responses"].get(str(status), {}).get("content", {})
    if "application/json" in documented:
        yield from _wrong("answer", json.loads(body), documented["application/json"]["schema"])


def _wrong(name: str, value: object, schema: dict[str, Any]) -> Iterator[str]:
    for error in jsonschema.Draft4Validator(schema).iter_errors(value):
        yield f"{name}: {error.message}"
