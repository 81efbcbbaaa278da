"""What each masker hides: the table of docs/masking.md, computed.

    python -m tests.unit.masking.parity     writes it into the page

A row is a way to write a secret into a log, with the program that does it where there is one. A cell is "yes" if
nothing of the secret is left in any of the row's logs, "no" if all (98 %) is left in all of them, else "partly".
"""

import base64
import codecs
import html
import json
import re
import shlex
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from keylease.masking import Masker, Redactor
from tests.fakes import peer_maskers
from tests.fakes.runner_masker import RunnerMasker

PAGE = Path(__file__).resolve().parents[3] / "docs/masking.md"
BEGIN, END = "<!-- measured: parity -->\n", "<!-- end of parity -->"

KEY = "AKq9v2LmT7xWcR4sYb8NeZ1hJd6GfP3uQ5oVtKiX"
PASSWORD = "p@Ss w/0rD'q\"z$v`k\\&n<u%^9"
FOREIGN = "Zugang=Größe+Ärger/42"
PEM: str = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(
    base64.b64encode(bytes((n * 37 + m * 101 + n * m * 7) % 256 for m in range(48))).decode() for n in range(6)
) + "\nQ9==\n-----END PRIVATE KEY-----"  # fmt: skip
DOCUMENT: str = json.dumps({"type": "service_account", "client_id": "1048576-aZ9", "private_key": PEM + "\n"}, indent=1)


@dataclass(frozen=True)
class Row:
    """write: the secret in this form, as a program would print it.

    program: a command that prints the same, given the secret as its last argument.
    edge: characters at each end of the secret that also hold bits of its neighbours, and may be left.
    """

    name: str
    secrets: tuple[str, ...]
    write: Callable[[str], str]
    program: tuple[str, ...] = ()
    edge: int = 0


def b64(text: str, before: str = "", after: str = "") -> str:
    """Base64 of the text between others."""
    return base64.b64encode((before + text + after).encode()).decode()


def wrapped(text: str, width: int) -> str:
    """`text` in lines."""
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


def lower_percent(text: str) -> str:
    """The digits of percent escapes in lower case."""
    return re.sub("%..", lambda hit: hit[0].lower(), text)


def yaml_escape(c: str) -> str:
    """A character as YAML writes it that is to be ASCII."""
    code = ord(c)
    return (
        c
        if 32 <= code < 127
        else f"\\x{code:02X}"
        if code < 256
        else f"\\u{code:04X}"
        if code < 65536
        else f"\\U{code:08X}"
    )


ODD = (PASSWORD, FOREIGN)
ONE = (KEY, PASSWORD, FOREIGN)
PAD = ("", "u:", "user:")
ROWS = [
    Row("as it is", ONE, str, ("printf", "%s")),
    Row("each line of a value of several", (PEM,), lambda s: s.replace("\n", "\n  ")),
    Row("several lines, CRLF for LF", (PEM,), lambda s: s.replace("\n", "\r\n")),
    Row("several lines on one", (PEM,), lambda s: s.replace("\n", " ")),
    Row("a string of a JSON secret", (DOCUMENT,), lambda s: json.loads(s)["private_key"]),
    Row("JSON", (PASSWORD, FOREIGN, PEM), lambda s: json.dumps(s, ensure_ascii=False)),
    Row("JSON, ASCII only", (FOREIGN,), json.dumps, ("python", "import json;print(json.dumps(a),end='')")),
    Row(
        "JSON, `\\/` for `/`",
        (PASSWORD, PEM),
        lambda s: json.dumps(s, ensure_ascii=False).replace("/", "\\/"),
    ),
    Row(
        "JSON, `\\u003c` for `<`",
        (PASSWORD,),
        lambda s: json.dumps(s).replace("&", "\\u0026").replace("<", "\\u003c"),
    ),
    Row("JSON in JSON", (PASSWORD, PEM), lambda s: json.dumps(json.dumps(s, ensure_ascii=False), ensure_ascii=False)),
    Row("JSON in Python's `repr`", (PASSWORD, FOREIGN, PEM), lambda s: repr(json.dumps({"a": s})),
        ("python", "import json;print(repr(json.dumps({'a': a})),end='')")),
    Row("JSON in `set -x` of bash", (PASSWORD,),
        lambda s: "+ : '" + json.dumps({"a": s}, separators=(",", ":")).replace("'", "'\\''") + "'\n",
        ("bash", 'exec 2>&1; A=$(jq -nc --arg a "$1" \'{$a}\'); set -x; : "$A"')),
    Row("YAML, `\\xE9` for `é`", (FOREIGN + "€🔑\x7f1",), lambda s: f'"{"".join(map(yaml_escape, s))}"\n',
        ("python", "import yaml;print(yaml.dump(a,default_style=chr(34)),end='')")),
    Row("URL, `%2F`", ODD, lambda s: quote(s, safe="")),
    Row("URL, `%2f`", ODD, lambda s: lower_percent(quote(s, safe=""))),
    Row("URL path", ODD, quote),
    Row("URL, encodeURIComponent", ODD, lambda s: quote(s, safe="!*'()"), ("node", "encodeURIComponent(a)")),
    Row("URL, encodeURI", ODD, lambda s: quote(s, safe=";,/?:@&=+$!*'()#"), ("node", "encodeURI(a)")),
    Row("URL, query of `new URL()`", ODD,
        lambda s: "https://h/?x=" + quote(s, safe="!$%&()*+,/:;=?@[\\]^`{|}"),
        ("node", "new URL('https://h/?x=' + a).href")),
    Row("form, `+` for space", (PASSWORD,), lambda s: "x=" + quote_plus(s, safe="*").replace("~", "%7E"),
        ("node", "new URLSearchParams({x: a}).toString()")),
    Row("HTML, `&quot;` `&#x27;`", (PASSWORD,), html.escape, ("python", "import html;print(html.escape(a),end='')")),
    Row("HTML, `&#34;` `&#39;`", (PASSWORD,),
        lambda s: html.escape(s, quote=False).replace('"', "&#34;").replace("'", "&#39;")),
    Row("XML", (PASSWORD,),
        lambda s: html.escape(s, quote=False).replace('"', "&quot;").replace("'", "&apos;")),
    Row("shell, `'\\''`", (PASSWORD,), lambda s: "'" + s.replace("'", "'\\''") + "'", ("bash", 'printf %s "${1@Q}"')),
    Row("`set -x` of bash", (PASSWORD,), lambda s: "+ : '" + s.replace("'", "'\\''") + "'\n",
        ("bash", 'exec 2>&1; set -x; : "$1"')),
    Row("shell, `'\"'\"'`", (PASSWORD,), shlex.quote, ("dash", "A=$1; export A; export -p | sed -n 's/^export A=//p'")),
    Row("dash, quotes in a row", ("Zq9''x1W'''k8",), lambda s: "'" + re.sub("('+)", r"""'"\1"'""", s) + "'",
        ("dash", "A=$1; export A; export -p | sed -n 's/^export A=//p'")),
    Row("shell, double quotes", (PASSWORD,), lambda s: '"' + re.sub(r'(["$`\\])', r"\\\1", s) + '"\n',
        ("bash", "A=$1; declare -p A | sed 's/^declare -- A=//'")),
    Row("bash `%q`", (PASSWORD,), lambda s: re.sub(r"""([^\w@%+=:./-])""", r"\\\1", s), ("bash", 'printf %q "$1"')),
    Row("`echo` of dash", (PASSWORD + "\\\\1",), lambda s: s.replace("\\\\", "\\"), ("dash", 'echo "$1"')),
    Row("bash `$'…'`", (PASSWORD + "\t1",),
        lambda s: "$'" + s.replace("\\", "\\\\").replace("'", "\\'").replace("\t", "\\t") + "'",
        ("bash", 'printf %q "$1"')),
    Row("PowerShell, SQL, `''`", (PASSWORD,), lambda s: s.replace("'", "''")),
    Row("PowerShell, backticks", (PASSWORD,), lambda s: re.sub(r'([`"$])', r"`\1", s)),
    Row("batch, `^` and `%%`", (PASSWORD,), lambda s: re.sub(r"([&<>|^])", r"^\1", s.replace("%", "%%"))),
    Row("Python `repr`", (PASSWORD, PEM), repr, ("python", "print(repr(a),end='')")),
    Row("Python bytes", ODD, lambda s: repr(s.encode()), ("python", "print(a.encode(),end='')")),
    Row("Go `%q`", (PASSWORD, PEM), lambda s: json.dumps(s, ensure_ascii=False)),
    Row("base64", (*ONE, PEM), b64, ("bash", 'printf %s "$1" | base64 -w0')),
    Row("base64 within a text", ONE, lambda s: "\n".join(b64(s, p, "#" * n) for p in PAD for n in range(3)), edge=2),
    Row("base64url", (PASSWORD + "??>>", FOREIGN),
        lambda s: "\n".join(b64(s, p).translate(str.maketrans("+/", "-_")) for p in PAD), edge=2),
    Row("basic auth, `user:password`", ONE, lambda s: "Basic " + b64(s, "deploy:"),
        ("bash", 'printf "Basic "; printf %s "deploy:$1" | base64 -w0'), edge=2),
    Row("base64 in lines of 76", (PEM,), lambda s: wrapped(b64(s), 76) + "\n", ("bash", 'printf %s "$1" | base64')),
    Row("base64 in lines of 64", (PEM,), lambda s: wrapped(b64(s), 64) + "\n",
        ("bash", 'printf %s "$1" | openssl base64')),
    Row("base64 in lines, within a text", (PEM,), lambda s: wrapped(b64(s, "some: text "), 76)),
    Row("base64 of base64", ONE, lambda s: b64(b64(s)), ("bash", 'printf %s "$1" | base64 -w0 | base64 -w0')),
    Row("base64 of base64 within a text", ONE,
        lambda s: "\n".join(b64(b64(s, p), q) for p in (*PAD, "abc") for q in PAD), edge=6),
    Row("hex", ONE, lambda s: s.encode().hex(), ("bash", 'printf %s "$1" | xxd -p | tr -d "\\n"')),
    Row("hex, upper case", ONE, lambda s: s.encode().hex().upper()),
    Row("hex with colons", ONE, lambda s: s.encode().hex(":")),
    Row("hex in lines of 60", (KEY, PEM), lambda s: wrapped(s.encode().hex(), 60) + "\n",
        ("bash", 'printf %s "$1" | xxd -p')),
    Row("dump in columns (`xxd`, `od`)", (KEY,), lambda s: "\n".join(
        s.encode()[at : at + 16].hex(" ", -2) for at in range(0, len(s), 16))),
    Row("reversed", (KEY,), lambda s: s[::-1], ("bash", 'printf %s "$1" | rev')),
    Row("ROT13", (KEY,), lambda s: codecs.encode(s, "rot13")),
    Row("one character a line", (KEY,), "\n".join),
    Row("with a colour in the middle", (KEY,), lambda s: f"{s[:9]}\x1b[01;31m\x1b[K{s[9:12]}\x1b[m\x1b[K{s[12:]}",
        ("bash", 'printf %s "$1" | GREP_COLORS= grep -F --color=always "${1:9:3}"')),
]  # fmt: skip


def github(secret: str, log: str) -> str:
    """The runner, told the value and nothing more."""
    masker = RunnerMasker()
    masker.add_mask(secret)
    return "\n".join(map(masker.mask, log.split("\n")))


def keylease_on_github(secret: str, log: str) -> str:
    """The runner, told what Keylease tells it."""
    masker = told_by_keylease(secret)
    return "\n".join(map(masker.mask, log.split("\n")))


def told_by_keylease(secret: str) -> RunnerMasker:
    """The runner after Keylease's action sealed the secret."""
    import io

    from keylease.outputs.github import GitHubOutputs
    from tests.fakes.runner_commands import command, output_lines

    raw = io.BytesIO()
    Masker(GitHubOutputs({}, io.TextIOWrapper(raw, encoding="utf-8")).announce).seal(secret, "s")
    masker = RunnerMasker()
    for line in output_lines(raw.getvalue()):
        parsed = command(line)
        assert parsed
        assert parsed.name == "add-mask"
        masker.add_mask(parsed.data)
    return masker


def keylease(secret: str, log: str) -> str:
    """`keylease exec`."""
    masker = Masker()
    masker.seal(secret, "s")
    redactor = Redactor(masker.patterns())
    return (redactor.feed(log.encode()) + redactor.flush()).decode()


MASKERS: dict[str, Callable[[str, str], str]] = {
    "GitHub": github,
    "GitLab": peer_maskers.gitlab,
    "Jenkins": peer_maskers.jenkins,
    "Buildkite": peer_maskers.buildkite,
    "GitHub with Keylease": keylease_on_github,
    "`keylease exec`": keylease,
}


def siblings(secret: str) -> list[str]:
    """Secrets of the same shape: what differs in their logs is what tells the secret; the rest is its surroundings."""
    if secret.startswith("{"):
        document = json.loads(secret)
        return [
            json.dumps(document | {k: _rotated(document[k], n) for k in ("client_id", "private_key")}, indent=1)
            for n in SHIFTS
        ]
    return [_rotated(secret, n) for n in SHIFTS]


SHIFTS = (1, 2, 3, 4, 5)


def _rotated(text: str, by: int) -> str:
    def other(c: str) -> str:
        for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
            if c in letters:
                return letters[(letters.index(c) + by) % len(letters)]
        return c

    lines = text.split("\n")
    return "\n".join(line if line.startswith("-----") else "".join(map(other, line)) for line in lines)


def telling(row: Row, secret: str) -> list[bool]:
    """For each character of the row's log: does it depend on the secret?"""
    log = row.write(secret)
    others = [row.write(other) for other in siblings(secret)]
    assert {len(other) for other in others} == {len(log)}, row.name
    return [any(other[at] != c for other in others) for at, c in enumerate(log)]


def shown(log: str, masked: str) -> list[bool]:
    """For each character of the log: is it left? The pieces between the marks, found in their order."""
    left = [False] * len(log)
    at = 0
    for piece in re.split(r"\*{3,4}|\[MASKED\]|\[REDACTED\]", masked):
        found = log.index(piece, at)
        left[found : found + len(piece)] = [True] * len(piece)
        at = found + len(piece)
    return left


def leak(row: Row, secret: str, masker: Callable[[str, str], str]) -> float:
    """The part of the telling characters that is left, runs of no more than `row.edge` of them forgiven."""
    log = row.write(secret)
    tells = telling(row, secret)
    seen = [a and b for a, b in zip(tells, shown(log, masker(secret, log)), strict=True)]
    if seen == tells:
        return 1.0  # nothing is hidden: there is nothing to forgive
    runs = [len(run) for run in "".join("x" if each else " " for each in seen).split()]
    return sum(run for run in runs if run > row.edge) / sum(tells)


def cell(row: Row, masker: Callable[[str, str], str]) -> str:
    """One cell of the table."""
    parts = [leak(row, secret, masker) for secret in row.secrets]
    return "yes" if not any(parts) else "no" if all(part > 0.98 for part in parts) else "partly"


def table() -> str:
    """The whole, as Markdown."""
    lines = [f"| form | {' | '.join(MASKERS)} |", "| --- |" + " --- |" * len(MASKERS)]
    for row in ROWS:
        cells = [cell(row, masker) for masker in MASKERS.values()]
        lines.append(f"| {row.name.replace('|', chr(92) + '|')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from tests.unit.masking.test_forms import counts

    page = PAGE.read_text(encoding="utf-8")
    for begin, end, text in (
        (BEGIN, END, table()),
        ("<!-- measured: counts -->\n", "<!-- end of counts -->", counts()),
    ):
        head, _, rest = page.partition(begin)
        page = head + begin + text + end + rest.partition(end)[2]
    PAGE.write_text(page, encoding="utf-8")
