"""Credentials of Jenkins as XML, in the way that its plugins read it.

The elements are the fields of the plugins' classes, which XStream fills past their constructors:
StringCredentialsImpl.java and FileCredentialsImpl.java of plain-credentials-plugin, BasicSSHUserPrivateKey.java of
ssh-credentials-plugin, UsernamePasswordCredentialsImpl.java of credentials-plugin.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from msgspec import Struct

from keylease.model import Seal
from keylease.secret import Secret
from keylease.sync.model import Option
from keylease.vendors.jenkins_settings import Scope

CLASSES = {
    "secret-text": "org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl",
    "username-password": "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl",
    "secret-file": "org.jenkinsci.plugins.plaincredentials.impl.FileCredentialsImpl",
    "ssh-key": "com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey",
}

KIND_OF_NAME = {
    "Secret text": "secret-text",
    "Username with password": "username-password",
    "Secret file": "secret-file",
    "SSH Username with private key": "ssh-key",
}
"""By `typeName` as the API tells it in English: Messages.properties of the three plugins."""

_KEY_SOURCE = "com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey$DirectEntryPrivateKeySource"

# XML 1.0 §2.2, Char: what a document can't hold, not even as a reference.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_BRACED = re.compile(r"\{([A-Za-z0-9+/]+={0,2})\}")

_PEM_KEY = re.compile(r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")


class Parts(Struct, frozen=True):
    """A value, taken apart for its kind.

    secret: text, password, key or content. username: None where the kind has none. hidden: it came with the secret and
    is masked as one.
    """

    secret: Secret
    username: Secret | None = None
    hidden: bool = False
    passphrase: Secret | None = None


class Existing(Struct, frozen=True):
    """What Jenkins shows of a credential in its ``config.xml``."""

    kind: str
    scope: Scope | None
    username: str
    file_name: str


class UnfitError(ValueError):
    """A value that can't be a credential of a kind. The text says why and holds nothing of the value."""


def parts_of(kind: str, options: Mapping[str, Option], value: Secret, seal: Seal, label: str) -> Parts:
    """`value` as the kind needs it. Raises :class:`UnfitError`."""
    if kind == "secret-file":
        return Parts(value)
    if not value.is_text:
        raise UnfitError(f"it is binary: a {kind} is text; write kind: secret-file")
    username = options.get("username")
    if kind == "secret-text":
        parts = Parts(value)
    elif kind == "username-password":
        parts = _password(value, seal, label) if not username else Parts(value, Secret(str(username)))
    else:
        parts = _key(value, str(username or ""), seal, label)
    for part in (parts.secret, parts.username, parts.passphrase):
        problem = _problem(part.reveal()) if part is not None else ""
        if problem:
            raise UnfitError(problem)
    return parts


def _password(value: Secret, seal: Seal, label: str) -> Parts:
    found = _object(value)
    if found is None:
        raise UnfitError("it has no `username:`, and its value is no JSON object with username and password")
    username, password = found.get("username"), found.get("password")
    if not isinstance(username, str) or not username or not isinstance(password, str):
        raise UnfitError("its value is a JSON object without a username and a password, both text")
    return Parts(seal(password, f"{label} (password)"), seal(username, f"{label} (username)"), hidden=True)


def _key(value: Secret, username: str, seal: Seal, label: str) -> Parts:
    found = _object(value)
    secret, passphrase, hidden = value, None, False
    name = Secret(username)
    if found is not None:
        key, phrase, own = found.get("private_key"), found.get("passphrase"), found.get("username")
        if not isinstance(key, str) or not isinstance(phrase, str | None) or not isinstance(own, str | None):
            raise UnfitError("its value is a JSON object without a private_key, or with a passphrase that is no text")
        secret = seal(key, f"{label} (private key)")
        passphrase = seal(phrase, f"{label} (passphrase)") if phrase else None
        if own and not username:
            name, hidden = seal(own, f"{label} (username)"), True
    if name.is_empty:
        raise UnfitError("it has no `username:`, and its value is no JSON object that has one")
    if not _PEM_KEY.match(secret.reveal()):
        raise UnfitError("it is no private key in PEM or OpenSSH format")
    return Parts(secret, name, hidden, passphrase)


def _object(value: Secret) -> dict[str, object] | None:
    text = value.reveal()
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _problem(text: str) -> str:
    if _NO_XML.search(text):
        return "it holds control characters, which XML can't: write kind: secret-file"
    braced = _BRACED.fullmatch(text)
    if braced:
        # hudson/util/Secret.java, `decrypt`: version 1 of what Jenkins writes to its own disk. It would store what that
        # stands for, or fail at it.
        try:
            first = base64.b64decode(braced[1], validate=True)[:1]
        except binascii.Error:
            return ""
        return "it looks like a value that Jenkins itself encrypted, and would be decrypted" if first == b"\1" else ""
    return ""


def document(kind: str, name: str, scope: Scope, description: str, parts: Parts, *, file_name: str = "") -> bytes:
    """The credential as XML in ASCII: servlets take a body for ISO-8859-1 unless they are told otherwise.

    Of a description that somebody else wrote, what XML can't hold is left out.
    """
    about = _NO_XML.sub("", description)
    fields = [_element("scope", scope), _element("id", name), _element("description", about)]
    if parts.username is not None:
        fields.append(_element("username", parts.username.reveal()))
        # A missing one is read as true: UsernamePasswordCredentialsImpl.java, `isUsernameSecret`.
        fields.append(_element("usernameSecret", "true" if parts.hidden else "false"))
    if kind == "secret-text":
        fields.append(_element("secret", parts.secret.reveal()))
    elif kind == "username-password":
        fields.append(_element("password", parts.secret.reveal()))
    elif kind == "secret-file":
        fields.append(_element("fileName", file_name))
        # SecretBytes.java, `fromString`: base64.
        fields.append(_element("secretBytes", base64.b64encode(parts.secret.reveal_bytes()).decode("ascii")))
    else:
        if parts.passphrase is not None:
            fields.append(_element("passphrase", parts.passphrase.reveal()))
        key = _element("privateKey", parts.secret.reveal())
        fields.append(f'<privateKeySource class="{_KEY_SOURCE}">{key}</privateKeySource>')
    text = f"<{CLASSES[kind]}>{''.join(fields)}</{CLASSES[kind]}>"
    return text.encode("ascii", "xmlcharrefreplace")


def _element(name: str, text: str) -> str:
    # A bare CR would arrive as LF: XML 1.0 §2.11.
    return f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>"


def existing(text: str) -> Existing | None:
    """What a ``config.xml`` tells; None if it is none.

    XStream2.java, `PrettyPrintWriter.XML_1_1`: no declaration, never a document type, and control characters as
    references, which XML 1.0 does not have.
    """
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", _NO_XML.sub("", text))
    text = re.sub(r"&#x(0?[0-8bcefBCEF]|1[0-9a-fA-F]);", "", text)
    if "<!" in text:  # entities come with a document type; Jenkins writes none
        return None
    try:
        root = ET.fromstring(text)  # noqa: S314  # no document type: nothing to expand or fetch
    except ET.ParseError:
        return None
    kind = next((kind for kind, name in CLASSES.items() if name == root.tag), "")
    scope = root.findtext("scope")
    known: Scope | None = "SYSTEM" if scope == "SYSTEM" else "GLOBAL" if scope == "GLOBAL" else None
    return Existing(kind, known, root.findtext("username") or "", root.findtext("fileName") or "")
