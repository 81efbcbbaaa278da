"""Types of credentials of Jenkins, for its fake: how XStream fills them from XML and writes them, and what lists show.

From UsernamePasswordCredentialsImpl.java and SecretBytes.java of credentials-plugin, StringCredentialsImpl.java and
FileCredentialsImpl.java of plain-credentials-plugin, BasicSSHUserPrivateKey.java of ssh-credentials-plugin, Secret.java
of Jenkins. What it can't show: see jenkins_rest.py.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

TEXT = "org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl"
PASSWORD = "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl"
FILE = "org.jenkinsci.plugins.plaincredentials.impl.FileCredentialsImpl"
SSH = "com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey"
_DIRECT = f"{SSH}$DirectEntryPrivateKeySource"

# Class → (plugin, type's name in English, in German where there is one, plain fields, secret fields).
CLASSES = {
    TEXT: ("plain-credentials@199", "Secret text", "Geheimer Text", (), ("secret",)),
    PASSWORD: (
        "credentials@1502",
        "Username with password",
        "Benutzername und Passwort",
        ("username", "usernameSecret"),
        ("password",),
    ),
    FILE: ("plain-credentials@199", "Secret file", "Geheime Datei", ("fileName",), ("secretBytes",)),
    SSH: (
        "ssh-credentials@365",
        "SSH Username with private key",
        "SSH Benutzername und privater Schlüssel",
        ("username", "usernameSecret"),
        ("passphrase", "privateKey"),
    ),
}


@dataclass
class Credential:
    """plain: fields as they were sent. secrets: plain too, as Jenkins would decrypt them."""

    kind: str
    id: str
    scope: str | None
    description: str
    plain: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)

    @property
    def value(self) -> bytes:
        """What a job gets."""
        name = {TEXT: "secret", PASSWORD: "password", FILE: "secretBytes", SSH: "privateKey"}[self.kind]
        return self.secrets[name]

    @property
    def hides_username(self) -> bool:
        # `usernameSecret != null ? usernameSecret : true`: XStream calls no constructor.
        return self.plain.get("usernameSecret", "true") == "true"

    @property
    def name(self) -> str:
        """CredentialsNameProvider of the class."""
        description = self.description.strip()
        behind = f" ({description})" if description else ""
        if self.kind == TEXT:
            return description or self.id
        if self.kind == FILE:
            return self.plain["fileName"] + behind
        if self.hides_username:
            return self.description
        return self.plain["username"] + ("/******" if self.kind == PASSWORD else "") + behind


class UnreadableError(ValueError):
    """XML that is no credential; the text is what Jenkins puts on its page."""


def read(text: str, encrypted: Mapping[str, str]) -> Credential:
    """A credential of its XML. encrypted: what this Jenkins has encrypted → the plain text."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        raise UnreadableError(f"Failed to parse credential: {text}") from None
    if root.tag not in CLASSES:
        raise UnreadableError(f"CannotResolveClassException: {root.tag}: {text}")
    *_, plain, hidden = CLASSES[root.tag]
    made = Credential(
        root.tag,
        root.findtext("id") or secrets.token_hex(16),
        root.findtext("scope"),
        root.findtext("description") or "",
    )
    made.plain = {key: root.findtext(key) or "" for key in plain if root.find(key) is not None}
    for key in hidden:
        node = root.find(key)
        if key == "privateKey":
            source = root.find("privateKeySource")
            if source is None or source.get("class") != _DIRECT:
                raise UnreadableError("no privateKeySource")
            node = source.find(key)
        if node is not None:
            made.secrets[key] = _secret_bytes(node) if key == "secretBytes" else _secret(node, encrypted)
    return made


def _secret(node: ET.Element, encrypted: Mapping[str, str]) -> bytes:
    """Secret.java, `fromString`."""
    text = "".join(node.itertext())
    if text.startswith("{") and text.endswith("}") and text[1:-1].strip():
        try:
            payload = base64.b64decode(text[1:-1], validate=True)
        except binascii.Error:
            payload = b"\0"
        if payload[0] == 1:
            if len(payload) < 9:
                raise UnreadableError("ArrayIndexOutOfBoundsException")
            text = encrypted.get(text, text)
    return text.encode()


def _secret_bytes(node: ET.Element) -> bytes:
    """SecretBytes.java, `fromString`: Apache's decoder skips what is not of its alphabet."""
    plain = re.sub(r"[^A-Za-z0-9+/]", "", "".join(node.itertext()))
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


def _escaped(char: str) -> str:
    """PrettyPrintWriter.java of XStream, `writeText` in its mode for XML 1.1."""
    known = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\t": "\t", "\n": "\n"}
    return known.get(char) or (f"&#x{ord(char):x};" if ord(char) < 32 or 127 <= ord(char) < 160 else char)


def redacted(credential: Credential) -> str:
    """SECRETS_REDACTED of CredentialsStoreAction.java, written by XStream's PrettyPrintWriter."""
    plugin, *_, hidden = CLASSES[credential.kind]

    def element(name: str, text: str) -> str:
        escaped = "".join(_escaped(char) for char in text)
        return f"  <{name}>{escaped}</{name}>\n"

    lines = element("scope", credential.scope) if credential.scope else ""
    lines += element("id", credential.id) + element("description", credential.description)
    lines += "".join(element(name, text) for name, text in credential.plain.items())
    secret = "    <secret-redacted/>\n"
    for name in hidden:
        if name == "privateKey":
            inner = "    <privateKey>\n      <secret-redacted/>\n    </privateKey>\n"
            lines += f'  <privateKeySource class="{_DIRECT}">\n{inner}  </privateKeySource>\n'
        elif name in credential.secrets:
            lines += f"  <{name}>\n{secret}  </{name}>\n"
    return f'<{credential.kind} plugin="{plugin}">\n{lines}</{credential.kind}>'
