"""Texts that anybody wrote, in HCL."""

import json
from typing import Any

import pytest

from keylease.audit import hcl, hcl_text
from keylease.audit.in_file import FACT, attributes, declared, of_statement, replaced
from keylease.audit.model import Location, Record

HOSTILE = (
    'x"\n}\nresource "null_resource" "x" {',
    '${file("/etc/passwd")}',
    "%{ for x in y }${x}%{ endfor }",
    "$${var.x}",
    "$$${var.x}",
    "${var.x",
    "%%{if",
    "\\",
    '\\"',
    "\x1b[31m\u202e",
    "\ud800",
    "\U0001f600 é",
    "a\r\n\tb",
    "EOT",
    "*/ /*",
    "# x",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_nothing_but_itself(text: str) -> None:
    given = {"a": text, "b": [text], "c": {text: text}}
    said = hcl_text.block(("resource", "x", text), given)
    assert said.isascii()
    assert all(sign.isprintable() or sign == "\n" for sign in said)
    root = hcl.parse(said)
    (found,) = root.blocks
    meant = text.replace("\ud800", "\ufffd")
    assert found.labels == ["x", meant]
    assert {key: each.value for key, each in found.attributes.items()} == {
        "a": meant,
        "b": [meant],
        "c": {meant: meant},
    }
    bare = said
    for opening in ("$", "%"):  # nothing but doubled ones
        bare = bare.replace(f"{opening}{opening}{{", "")
        assert f"{opening}{{" not in bare


@pytest.mark.parametrize("text", ["${var.x}", "a-${local.b}-${each.key}", "${aws_iam_role.x[0].arn}", "%${var.x}"])
def test_what_refers_to_something_goes_on_to(text: str) -> None:
    assert hcl_text.quoted(text) == f'"{text}"'


@pytest.mark.parametrize(
    "text", ["${aws:username}", "${x}", "${a.b ? c : d}", "${f(a.b)}", "${a.b}${f()}", "${a.b.*.c}"]
)
def test_what_is_more_than_a_name_is_text(text: str) -> None:
    assert hcl_text.quoted(text).count("$${") == text.count("${") - text.count("${a.b}")


JUNK: tuple[Any, ...] = (None, "", 3, [], [1], {"block": 1}, {"block": ["a", "b"]}, {"block": [1, 2, 3]}, {"form": "x"})


@pytest.mark.parametrize("fact", JUNK)
def test_odd_snapshots_are_no_crash(fact: Any) -> None:
    record = Record("vault.jwt_role", "file://x.tf#x", {FACT: fact}, Location("x.tf", 1))
    assert len(declared(record).block) in (0, 2)
    assert json.loads(f"{{{attributes(record, {'a': 'b'})}}}") == {"a": "b"}
    assert json.loads(f"{{{of_statement(record, {'Condition': {}})}}}") == {"Condition": {}}
    assert replaced(record, "x") == {}
    assert attributes(Record("vault.jwt_role", "vault://x", {FACT: fact}), {"a": "b"}) == ""
