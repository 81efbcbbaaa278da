"""A registry's credential that Dependabot's settings give away."""

from collections.abc import Iterator, Mapping
from typing import Any

from keylease.audit.clear import FIRST
from keylease.audit.facts import at, items
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_TOKEN = "npm_" + "q7Lw2ZrXv9TkBn4MdYc8HsGfJp3VaEuR6tKx"  # in two parts, or scanners of this repository report it
_RUNS = ("bundler", "mix", "pip")


class RegistryExposed(Rule):
    """In clear, or within reach of what a dependency runs while it is looked at."""

    id = "dependabot-registry-exposed"
    title = "Dependabot's settings give away a registry's credential"
    severity = "high"
    needs = ("file.dependabot",)
    why = (
        "A token in dependabot.yml is known to whoever can read the repository, a fork or an old clone. With "
        "`insecure-external-code-execution: allow` the code of dependencies (a gemspec, a setup.py, a mix.exs) runs "
        "while Dependabot looks for versions, before anybody reviews them, and can use the credentials of the update's "
        "registries."
    )
    fix = (
        "Revoke a token that stands in the file and refer to a Dependabot secret. Take `insecure-external-code-"
        "execution` away; where a package manager can't do without, give that update only registries whose token can "
        "do no more than read, and none of others."
    )
    links = (
        "https://docs.github.com/code-security/dependabot/working-with-dependabot/configuring-access-to-private-registries-for-dependabot",
        "https://docs.github.com/code-security/dependabot/working-with-dependabot/dependabot-options-reference#insecure-external-code-execution--",
    )
    sample = ".github/dependabot.yml"
    bad = (
        f"""\
version: 2
registries:
  npm:
    type: npm-registry
    url: https://npm.example.com
    token: {_TOKEN}
updates:
  - package-ecosystem: npm
    directory: /
    registries: [npm]
    schedule: {{interval: weekly}}
""",
        """\
version: 2
registries:
  gems:
    type: rubygems-server
    url: https://gems.example.com
    token: ${{ secrets.GEMS_TOKEN }}
updates:
  - package-ecosystem: bundler
    directory: /
    registries: "*"
    insecure-external-code-execution: allow
    schedule: {interval: weekly}
""",
    )
    good = (
        """\
version: 2
registries:
  gems:
    type: rubygems-server
    url: https://gems.example.com
    username: acme
    password: ${{ secrets.GEMS_PASSWORD }}
updates:
  - package-ecosystem: bundler
    directory: /
    registries: [gems]
    schedule: {interval: weekly}
  - package-ecosystem: pip
    directory: /docs
    insecure-external-code-execution: allow # without registries there is nothing to take
    schedule: {interval: weekly}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a field in clear, one an update that runs code."""
        for record in inventory.of("file.dependabot"):
            for registry in items(record.facts.get("registries")):
                for literal in items(registry.get("literal")):
                    yield self._clear(record, registry, literal)
            for number, update in enumerate(items(record.facts.get("updates"))):
                if update.get("runs_code") is True and update.get("registries"):
                    yield self._runs(record, update, number)

    def _clear(self, record: Record, registry: Mapping[str, Any], literal: Mapping[str, Any]) -> Finding:
        name, field, what = shown(registry.get("name")), shown(literal.get("field")), shown(literal.get("what") or "")
        secret = "".join(sign if sign.isalnum() else "_" for sign in f"{name}_{field}".upper()) or "TOKEN"
        return self.finding(
            record,
            f"the registry {name} has its {field} in clear" + (f", a {what}" if what else ""),
            severity="critical" if what else "high",
            confidence="high" if what else "medium",
            location=at(record, literal),
            evidence=(("prefix", shown(literal.get("prefix") or "none")), ("length", str(literal.get("length")))),
            change=f"{FIRST}; then store a new one as a Dependabot secret and refer to it"
            f"\n\n{field}: ${{{{ secrets.{secret} }}}}",
            key=f"{name} {field}",
        )

    def _runs(self, record: Record, update: Mapping[str, Any], number: int) -> Finding:
        given = update["registries"]
        names = ", ".join(shown(each) for each in given[:6]) if isinstance(given, list) else ""
        ecosystem, directory = shown(update.get("ecosystem") or "?"), shown(update.get("directory") or "?")
        return self.finding(
            record,
            f"code of {ecosystem} dependencies may run with the credentials of "
            + ("all registries" if names == "*" else f"the registries {names}"),
            severity="medium",
            confidence="high" if ecosystem in _RUNS else "low",
            location=at(record, update),
            evidence=(("update", f"{ecosystem} {directory}"), ("insecure-external-code-execution", "allow")),
            change="forbid it, or leave this update no registries but those whose token can only read"
            "\n\ninsecure-external-code-execution: deny",
            key=f"runs {ecosystem} {directory} {number}",
        )
