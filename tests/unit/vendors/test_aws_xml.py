"""Reading lists of AWS's Query protocol."""

import pytest

from keylease.vendors.aws_xml import tree


def test_lists_structures_and_texts() -> None:
    body = b"""<R xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><U><member><N>a</N><G><member>x</member></G></member>
    <member><N>b</N><G/></member></U><IsTruncated>false</IsTruncated></R>"""
    users = [{"N": "a", "G": ["x"]}, {"N": "b", "G": ""}]
    assert tree(body) == {"R": {"U": users, "IsTruncated": "false"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<R>",
        b"<R>\xff</R>",
        b'<!DOCTYPE R [<!ENTITY a "b">]><R>&a;</R>',
        b"<a>" * 30 + b"</a>" * 30,
    ],
)
def test_what_is_no_plain_xml_is_empty(body: bytes) -> None:
    assert tree(body) == {}
