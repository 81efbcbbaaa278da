"""Where an identity token may be sent: the hosts that settings may name, however they are written."""

import pytest
import urllib3

from keylease.errors import UsageError
from keylease.vendors.endpoints import checked

DOMAINS = ("vendor.example",)


@pytest.mark.parametrize(
    "url",
    [
        r"https://evil.example\.vendor.example",
        r"https://evil.example\@vendor.example",
        "https://evil.example%5c.vendor.example",
        "https://evil.example%2f.vendor.example",
        "https://evil.example;.vendor.example",
        "https://evil.example&.vendor.example",
        "https://evil.example\uff3c.vendor.example",
        "https://evil.example\uff0f.vendor.example",
        "https://evil\u3002example.vendor.example",
        "https://v\u0435ndor.example",
        "https://evil.example#.vendor.example",
        "https://evil.example?.vendor.example",
        "https://vendor.example@evil.example",
        "https://vendor.example.evil.example",
        "https://evilvendor.example",
        "https://vendor.example.",
        "https://vendor.example?",
        "https://vendor.example#",
        "https://.vendor.example",
        "https://[::1].vendor.example",
        "https://[::2]",
        "https://vendor.example:0",
        "https://vendor.example:x",
        "https://vendor.example/a\\b",
        "https://vendor.example/\u00e9",
        "https://vendor.exam\tple",
        "http://vendor.example",
        "http://128.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://127.\u0660.0.1",
        "file:///etc/passwd",
        "//vendor.example",
        "vendor.example",
        "",
    ],
)
def test_other_hosts_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="Vendor: `url`"):
        checked(url, "url", "Vendor", DOMAINS, {})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://vendor.example", "vendor.example"),
        ("HTTPS://Vendor.Example:8443/", "vendor.example"),
        ("https://eu.vendor.example/v1/x@y", "eu.vendor.example"),
        ("https://proxy.corp.example/vendor", "proxy.corp.example"),
        ("https://[fd00::5]:8443", "[fd00::5]"),
        ("http://localhost:8080", "localhost"),
        ("http://127.0.0.1:8080", "127.0.0.1"),
        ("http://[::1]:8080", "[::1]"),
    ],
)
def test_what_is_let_through_goes_to_the_host_that_was_looked_at(url: str, host: str) -> None:
    env = {"KEYLEASE_ALLOW_HOSTS": "proxy.corp.example, FD00::5"}
    made = checked(url, "url", "Vendor", DOMAINS, env)
    assert made == url.rstrip("/")
    # The parser of the library that connects.
    assert urllib3.util.parse_url(made).host == host
