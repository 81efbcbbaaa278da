"""How programs write a text: escaped for JSON, URLs, HTML and shells, or encoded in base64 or hexadecimal.

Every function gives what stands between the quotes, if there are any: those are no secret.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

PIECE = 12
"""Characters of a piece of base64: nine bytes, which do not occur by chance. See :func:`pieces`."""

NEVER_ESCAPED = re.compile(r"[A-Za-z0-9_.-]+")
"""Texts that all of :func:`escapes` leave as they are: most tokens and passwords that a program made up."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def escapes(text: str) -> Iterator[tuple[str, str]]:
    """Each escaped form with its name. Many are equal to `text`, or to each other: the caller drops those."""
    for name, write in (
        ("JSON", _json),
        ("URL", _url),
        ("HTML, XML", _markup),
        ("shell", _shell),
        ("PowerShell, SQL, CSV", _doubled),
        ("batch", _batch),
        ("Python", _python),
        ("Go", _go),
        ("YAML", _yaml),
    ):
        for form in write(text):
            yield name, form


def usual_escapes(text: str) -> Iterator[tuple[str, str]]:
    """The few of them that are worth their time for a text of megabytes."""
    for ascii_only in (True, False):
        yield "JSON", json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    yield "URL", quote(text, safe="")
    yield "URL", quote_plus(text)


# JSON


def _json(text: str) -> Iterator[str]:
    ascii_only, unicode = (json.dumps(text, ensure_ascii=flag)[1:-1] for flag in (True, False))
    for form in (ascii_only, unicode, unicode.replace("\x7f", "\\u007f")):  # the last: jq
        yield form
        yield form.replace("/", "\\/")  # PHP, and many old encoders
        for marks in ("<>&", "<>&'", "<>&'/"):  # Go, Rails; Jinja; JavaScript in HTML
            safe = _unicode_escaped(form, marks + "\u2028\u2029")
            yield safe
            yield _upper_hex(safe)
    yield _upper_hex(ascii_only)
    yield _upper_hex(ascii_only).replace("/", "\\/")
    # System.Text.Json; json.dumps leaves \" as the only two-character escape of a printable besides \\
    strict = _upper_hex(ascii_only.replace('\\"', "\\u0022").replace("\x7f", "\\u007f"))
    yield _upper_hex(_unicode_escaped(strict, "<>&'+`"))
    for form in (ascii_only, unicode):  # JSON within JSON: a log line as JSON whose message is a JSON document
        yield json.dumps(form, ensure_ascii=False)[1:-1]
        yield form.replace("\\", "\\\\").replace("'", "\\'")  # JSON within Python's repr
        yield form.replace("'", "'\\''")  # an argument of a command that bash shows (set -x)


def _unicode_escaped(text: str, characters: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if c in characters else c for c in text)


def _upper_hex(text: str) -> str:
    """The digits of each backslash-u escape in upper case; an escaped backslash before a u is no such escape."""
    out, at = [], 0
    while (found := text.find("\\", at)) >= 0:
        size = 6 if text[found + 1 : found + 2] == "u" else 2
        out += [text[at : found + 2], text[found + 2 : found + size].upper()]
        at = found + size
    return "".join([*out, text[at:]])


# URLs


def _url(text: str) -> Iterator[str]:
    once = quote(text, safe="")
    for form in (
        once,  # RFC 3986; .NET's EscapeDataString, jq's @uri
        quote(text),  # a path
        quote(text, safe="!*'()"),  # encodeURIComponent
        quote(text, safe=";,/?:@&=+$!*'()#"),  # encodeURI
        quote(text, safe="!$%&()*+,/:;=?@[\\]^`{|}"),  # a query (WHATWG)
        quote(text, safe="$&+=:@"),  # Go's url.PathEscape
        quote(text, safe="!$%&'()*+,"),  # user information in a URL (WHATWG)
        quote_plus(text),  # a form: Python, Go
        quote_plus(text, safe="*").replace("~", "%7E"),  # URLSearchParams, Java
        quote_plus(text).replace("~", "%7E"),  # PHP
        quote(once, safe=""),  # twice: a URL as a parameter of a URL
        quote(once.replace("%20", "+"), safe=""),
        text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"),  # a GitHub workflow command
    ):
        yield form
        yield _lower_percent(form)


def _lower_percent(text: str) -> str:
    head, *rest = text.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])


# HTML and XML


def escape(text: str) -> str:
    """What every escaping of markup does. Not `html.escape`: its module brings a table of two thousand names along."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markup(text: str) -> Iterator[str]:
    named = escape(text)
    for double in ('"', "&quot;", "&#34;"):
        for single in ("'", "&apos;", "&#39;", "&#x27;"):
            form = named.replace('"', double).replace("'", single)
            yield form
            yield form.encode("ascii", "xmlcharrefreplace").decode("ascii")
            yield "".join(c if c.isascii() else f"&#x{ord(c):X};" for c in form)
    # OWASP's and Mustache's lists
    owasp = named.replace('"', "&quot;").replace("'", "&#x27;").replace("/", "&#x2F;")
    yield owasp
    yield owasp.replace("&#x27;", "&#39;").replace("`", "&#x60;").replace("=", "&#x3D;")


# Shells

_BASH_SPECIAL = frozenset(" !\"$&'()*,;<>?[\\]^`{|}")
_ANSI_C = {
    7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\E", 39: "\\'", 92: "\\\\",
}  # fmt: skip


def _shell(text: str) -> Iterator[str]:
    yield text.replace("'", "'\\''")  # bash: set -x, ${x@Q}
    yield text.replace("'", "'\"'\"'")  # shlex.quote
    yield _grouped_quotes(text)  # dash, busybox
    yield "".join("\\" + c if c in '\\"$`' else c for c in text)  # bash: declare -p, export -p
    # bash: %q. # and ~ are special at the start of a word only, ~ also after : and =.
    words = "".join("\\" + c if c in _BASH_SPECIAL else c for c in text)
    words = words.replace(":~", ":\\~").replace("=~", "=\\~")
    yield words
    yield "\\" + words if words[:1] in "#~" else words
    yield _ansi_c(text, str.isprintable)
    yield _ansi_c(text, lambda c: c.isascii() and c.isprintable())  # in the C locale
    yield text.replace("$", "$$")  # Make, Docker Compose
    # What is left of a value written unquoted: the shell takes the backslashes for its own.
    yield _unescaped(text, "\\")
    yield _echoed(text)


_ECHO = re.compile(r"\\(0[0-7]{0,3}|[abcfrtv\\])", re.ASCII)
_ECHOED = {"a": "\a", "b": "\b", "f": "\f", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def _echoed(text: str) -> str:
    """What `echo` of dash makes of it (XSI); ``\\n`` is left, since lines are looked for one by one."""
    shown, _, _ = _ECHO.sub(lambda hit: "\0" if hit[1] == "c" else _character(hit[1]), text).partition("\0")
    return shown


def _character(escape: str) -> str:
    return _ECHOED.get(escape) or chr(int(escape, 8))


def _grouped_quotes(text: str) -> str:
    out = []
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and (text[end] == "'") == (text[at] == "'"):
            end += 1
        run = text[at:end]
        out.append(f"'\"{run}\"'" if run[0] == "'" else run)
        at = end
    return "".join(out).strip("'")


def _ansi_c(text: str, is_plain: Callable[[str], bool]) -> str:
    """Bash's ``$'…'``."""
    return "".join(
        _ANSI_C.get(ord(c)) or (c if is_plain(c) else "".join(f"\\{byte:03o}" for byte in c.encode("utf-8")))
        for c in text
    )


def _unescaped(text: str, mark: str) -> str:
    out, at = [], 0
    while (found := text.find(mark, at)) >= 0:
        out += [text[at:found], text[found + 1 : found + 2]]
        at = found + 2
    return "".join([*out, text[at:]])


def _doubled(text: str) -> Iterator[str]:
    yield text.replace("'", "''")  # PowerShell, SQL, YAML, expressions of GitHub Actions
    yield text.replace('"', '""')  # PowerShell, CSV
    for quoted in ('`"', '""'):  # within PowerShell's double quotes
        yield "".join("`" + c if c in "`$" else quoted if c == '"' else c for c in text)


def _batch(text: str) -> Iterator[str]:
    percent = text.replace("%", "%%")
    for form in (text, percent):
        yield form
        yield "".join("^" + c if c in "^&|<>" else c for c in form)
        yield "".join("^" + c if c in "^&|<>()!\"'`;,=" else c for c in form)
    yield _unescaped(text, "^")


# Source code


def _python(text: str) -> Iterator[str]:
    for form in (repr(text), ascii(text), repr(text.encode("utf-8"))):
        bare = form.lstrip("b")[1:-1]
        yield bare
        if form[-1] == '"' or "'" not in text:
            continue
        yield bare.replace("\\'", "'")
    yield repr(text + "'\"")[1:-4].replace("\\'", "'")
    # A value with a single quote in a list or dictionary beside one with both: escaped within single quotes.
    yield repr(text.replace("'", "\\'") + '"')[1:-2].replace("\\\\'", "\\'")


def _go(text: str) -> Iterator[str]:
    """strconv.Quote (``%q``) and QuoteToASCII (``%+q``)."""
    short = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}

    def written(c: str, ascii_only: bool) -> str:
        code = ord(c)
        if code in short:
            return short[code]
        if c.isprintable() and (c.isascii() or not ascii_only):
            return c
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    yield "".join(written(c, False) for c in text)
    yield "".join(written(c, True) for c in text)


def _yaml(text: str) -> Iterator[str]:
    """In double quotes, as libyaml and its kin write what is not ASCII (YAML 1.2.2, 5.7)."""
    if text.isascii() and text.isprintable():
        return  # as JSON
    short = {0: "0", 7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 27: "e", 34: '"', 92: "\\",
             0x85: "N", 0xA0: "_", 0x2028: "L", 0x2029: "P"}  # fmt: skip

    def written(c: str) -> str:
        code = ord(c)
        if code in short:
            return "\\" + short[code]
        if 32 <= code < 127:
            return c
        return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"

    yield "".join(map(written, text))


# Bytes


def base64_cores(data: bytes) -> list[bytes]:
    """`data` in base64 at each of the three places where it may start in a larger text.

    Characters that also encode neighbouring bytes are uncertain and left out: at most two at either end.
    """
    return [
        base64.b64encode(b"\0" * offset + data)[(0, 2, 3)[offset] : (len(data) + offset) * 8 // 6]
        for offset in range(3)
    ]


def base64_ends(data: bytes) -> list[bytes]:
    """`data` at the same three places, where it ends the text and the last character is certain: with padding, without.

    None for a place where no padding is needed: the core says it all.
    """
    found = []
    for offset in range(3):
        if (len(data) + offset) % 3:
            whole = base64.b64encode(b"\0" * offset + data)[(0, 2, 3)[offset] :]
            found += [whole, whole.rstrip(b"=")]
    return found


def url_safe(encoded: bytes) -> bytes:
    """Base64 in the alphabet of base64url."""
    return encoded.translate(_URL_SAFE)


def pieces(core: bytes) -> list[bytes]:
    """`core` cut into pieces of equal length, the last one reaching back: together they cover it.

    Wrapped base64 breaks one piece per line end, wherever the lines end: the others are still found.
    """
    return [core[at : at + PIECE] for at in range(0, len(core) - PIECE + 1, PIECE)] + [core[-PIECE:]]


def rows(encoded: bytes, width: int) -> list[bytes]:
    """`encoded` in lines of `width`, as a program writes it whose whole input the value is."""
    return [encoded[at : at + width] for at in range(0, len(encoded), width)]


def hexadecimal(data: bytes) -> list[bytes]:
    """Lower and upper case, plain and with colons (openssl); with spaces (od, hexdump)."""
    texts = [data.hex(), data.hex(":"), data.hex(" ")]
    return [form.encode("ascii") for text in texts for form in (text, text.upper())]
