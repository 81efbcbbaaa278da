"""A `.env` file with secrets in it."""

import re
from collections.abc import Iterator

from keylease.audit.model import Confidence, Finding, Inventory, Persona, Severity
from keylease.audit.rule import Rule
from keylease.audit.workflows import listed, shown

_SECRET = re.compile(
    r"(?:^|_)(?:SECRET|PASSWORD|PASSWD|PASSPHRASE|PWD|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|SECRET_?KEY|AUTH_?KEY"
    r"|ENCRYPTION_?KEY|SIGNING_?KEY|MASTER_?KEY|CREDENTIALS?)$"
)
_PUBLIC = re.compile(
    r"^(?:NEXT_PUBLIC|VITE|REACT_APP|PUBLIC|EXPO_PUBLIC|NUXT_PUBLIC|GATSBY|VUE_APP)_|PUBLISHABLE|PUBLIC_KEY"
)
_TEMPLATE = re.compile(
    r"(?:^|[._-])(?:example|sample|template|tmpl|tpl|dist|defaults?|schema|vault|encrypted|enc)(?=[._-]|$)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(?:^|[._-])(?:test|tests|testing|ci|dev|development|local|docker|e2e|demo)(?=[._-]|$)"
    r"|(?:^|/)(?:tests?|examples?|fixtures|samples?|demo|docs)/",
    re.IGNORECASE,
)
_LIVE = re.compile(r"(?:^|[._-])(?:prod|production|live)(?=[._-]|$)", re.IGNORECASE)


class EnvFile(Rule):
    """Tells by the names, for values are not looked at. Pedantic in a test's or a developer's file."""

    id = "env-file"
    title = "a .env file with secrets in the repository"
    severity = "medium"
    confidence = "medium"
    needs = ("file.env",)
    why = (
        "Whoever can read the repository, a fork or an old clone of it has what stands in the file, and deleting it "
        "takes it from nobody: it stays in the history. Images and packages that are built from the repository often "
        "hold it too."
    )
    fix = (
        "Change the values where they come from, remove the file from the repository, keep its names in "
        "`.env.example` without values, and let `keylease exec` hand them to the program."
    )
    links = ("https://docs.github.com/code-security/how-tos/secure-your-secrets",)
    sample = ".env"
    bad = (
        "DEBUG=1\nDB_PASSWORD=correct horse\n",
        "export STRIPE_API_KEY='abc'\nEMPTY_TOKEN=\n",
    )
    good = (
        "# nothing that is secret, or nothing in it\nDB_HOST=db\nDB_PASSWORD=\nTOKEN_URL=https://example.com\nMAX_TOKENS=100\n",
        "VITE_API_KEY=public-by-design\nSTRIPE_PUBLISHABLE_KEY=pk\nJWT_PUBLIC_KEY=abc\nAWS_ACCESS_KEY_ID=\nPASSWORD_MIN_LENGTH=8\n",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a file."""
        for record in inventory.of("file.env"):
            path = record.location.path if record.location else record.subject
            if _TEMPLATE.search(path.rpartition("/")[2]):
                continue
            empty = set(record.facts.get("empty", ()))
            found = [name for name in record.facts.get("names", ()) if name not in empty and _is_secret(str(name))]
            if not found:
                continue
            rank: tuple[Severity, Confidence, Persona] = ("medium", "medium", "regular")
            if _LIVE.search(path.rpartition("/")[2]):
                rank = ("high", "medium", "regular")
            elif _HARMLESS.search(path):
                rank = ("low", "low", "pedantic")
            yield self.finding(
                record,
                f"{shown(path)} gives values to {listed(found)}",
                severity=rank[0],
                confidence=rank[1],
                persona=rank[2],
                change="change the values at their source, then let the program start with them leased"
                f"\n\ngit rm --cached --ignore-unmatch -- {_quoted(path)} # and name it in .gitignore"
                "\nkeylease exec -- COMMAND",
                key="names",
            )


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name.upper())) and not _PUBLIC.search(name.upper())


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(shown(path, 200))
