"""Google's discovery documents, as the measure of what is sent to the fakes and what they answer.

Extracts in tests/data/google (their `x-source` says of what). https://developers.google.com/discovery/v1/reference/apis

What it can't show: which fields a method needs (the documents mark none), and that Google's servers keep to them.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "google"

_FORMATS = {
    "int64": r"-?\d{1,19}",
    "google-datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z",
    "google-duration": r"\d{1,12}(\.\d{1,9})?s",
}


class Mismatch(Exception):  # noqa: N818  # a finding rather than an error
    """What is not as the document says."""


class Discovery:
    """One API's document."""

    def __init__(self, api: str) -> None:
        self._document = json.loads((DATA / f"{api}.json").read_text(encoding="utf-8"))

    def method(self, verb: str, path: str, query: Mapping[str, list[str]]) -> dict[str, Any] | None:
        """The method that is asked for; None if the API has none there. Raises :class:`Mismatch` for a query."""
        for method in self._document["methods"].values():
            if method["httpMethod"] == verb and self._is_at(method, path):
                known = {n for n, p in method["parameters"].items() if p["location"] == "query"}
                unknown = set(query) - known - set(self._document["parameters"])
                if unknown:
                    raise Mismatch(f'Invalid JSON payload received. Unknown name "{min(unknown)}"')
                return dict(method)
        return None

    def check_request(self, method: Mapping[str, Any], body: object) -> None:
        """Raises :class:`Mismatch` in about Google's words. body: None for none."""
        if "request" not in method:
            if body is not None:
                raise Mismatch("Request body must be empty.")
            return
        self._check(method["request"], body, "")

    def check_answer(self, method: Mapping[str, Any], body: object) -> None:
        """Raises :class:`Mismatch`: the fake is wrong."""
        self._check(method["response"], body, "")

    def _is_at(self, method: Mapping[str, Any], path: str) -> bool:
        # "v1/{+name}:access" with a pattern for name.
        made = ""
        for part in re.split(r"(\{\+\w+\})", method["path"]):
            name = part[2:-1] if part.startswith("{+") else ""
            made += method["parameters"][name]["pattern"].strip("^$") if name else re.escape(part)
        return re.fullmatch("/" + made, path) is not None

    def _check(self, schema: Mapping[str, Any], value: object, where: str) -> None:
        if "$ref" in schema:
            schema = self._document["schemas"][schema["$ref"]]
        kind, form = schema["type"], schema.get("format")
        if kind == "object":
            if not isinstance(value, dict):
                raise Mismatch(f"Invalid value at '{where}': not an object")
            known, rest = schema.get("properties", {}), schema.get("additionalProperties")
            for name, inner in value.items():
                if rest is not None:
                    self._check(rest, inner, f"{where}.{name}".lstrip("."))
                    continue
                if name not in known:
                    raise Mismatch(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
                self._check(known[name], inner, f"{where}.{name}".lstrip("."))
        elif kind == "array":
            if not isinstance(value, list):
                raise Mismatch(f"Invalid value at '{where}': not a list")
            for inner in value:
                self._check(schema["items"], inner, where)
        elif kind != "any" and not _is(kind, form, value):
            raise Mismatch(f"Invalid value at '{where}' ({form or kind})")


def _is(kind: str, form: str | None, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if form == "byte":
        try:
            return base64.b64encode(base64.b64decode(value, validate=True)).decode() == value
        except ValueError:
            return False
    return form not in _FORMATS or re.fullmatch(_FORMATS[form], value) is not None
