"""A federation rule of an AI service that lets strangers' jobs in."""

from collections.abc import Iterator

from keylease.audit.ai_keys import ANTHROPIC_WIF, OPENAI_WIF
from keylease.audit.cel import Way, ways
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.reach import Issuer, reach, shared
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_GITHUB = "https://token.actions.githubusercontent.com"
_OPENAI = {"name": "ci", "issuer": _GITHUB, "active": True, "provider": "github", "transformed": []}
_ANTHROPIC = {"name": "ci", "issuer": _GITHUB, "active": True, "condition": "", "claims": {}, "subject_prefix": ""}


def _openai(**matchers: object) -> tuple[str, str, dict[str, object]]:
    return ("openai.federation_rule", "openai://wip_1/federation-rule/r", {**_OPENAI, "matchers": matchers})


def _anthropic(**match: object) -> tuple[str, str, dict[str, object]]:
    return ("anthropic.federation_rule", "anthropic://organization/federation-rule/r", {**_ANTHROPIC, **match})


class AiFederationRuleOpen(Rule):
    """Of GitHub's and GitLab.com's shared issuers only; what transformations, or odd CEL, bind isn't judged."""

    id = "ai-federation-rule-open"
    title = "a federation rule of an AI service without a repository"
    severity = "critical"
    needs = ("openai.federation_rule", "anthropic.federation_rule")
    alternatives = True
    why = (
        "All customers of GitHub, and of GitLab.com, get their tokens from one issuer. A rule that compares no claim "
        "of the repository takes those of anybody's repository; one that compares the owner only takes those of every "
        "repository of that owner, forks and experiments included. Ids of rules and accounts are no secrets."
    )
    fix = (
        "Bind the ids of the owner and the repository, and the branch or the environment. `keylease whoami` in the job "
        "prints the rule for exactly that job."
    )
    links = (OPENAI_WIF, ANTHROPIC_WIF)
    sample = "inventory.json"
    bad = (
        these(_openai(aud="https://api.openai.com/v1")),
        these(_openai(repository_owner="acme")),
        these(_anthropic(subject_prefix="repo:acme*")),
        these(_anthropic(claims={"ref": "refs/heads/main"})),
        these(_anthropic(condition="claims.repository_id == '7' || claims.ref == 'refs/heads/main'")),
        these(_openai(sub="environment:production")),
    )
    good = (
        these(
            _openai(repository_id="7", ref="refs/heads/main"),
            _anthropic(subject_prefix="repo:acme/trainer:*"),
        ),
        these(_anthropic(condition="claims.repository_id == '7'"), _openai(sub="repo:acme/trainer:environment:p")),
        these(
            ("openai.federation_rule", "openai://w/federation-rule/r", {**_OPENAI, "active": False, "matchers": {}}),
            (
                "openai.federation_rule",
                "openai://w/federation-rule/own",
                {**_OPENAI, "issuer": "https://ci.example.com", "matchers": {}},
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a rule."""
        for kind in self.needs:
            for record in inventory.of(kind):
                issuer = shared(record.facts.get("issuer"))
                if issuer is None or not is_active(record):
                    continue
                ways_in = [(reach(issuer, matchers), matchers) for matchers in _matchers(record)]
                for found in ("anyone", "owner"):
                    open_way = next((matchers for who, matchers in ways_in if who == found), None)
                    if open_way is not None:
                        yield self._found(record, issuer, open_way, whole=found == "owner")
                        break

    def _found(self, record: Record, issuer: Issuer, matchers: dict[str, object], *, whole: bool) -> Finding:
        vendor = "OpenAI" if record.kind.startswith("openai") else "Anthropic"
        who = "all repositories of an owner" if whole else f"jobs of anybody's repository at {issuer.name}"
        return self.finding(
            record,
            f"the {vendor} federation rule {shown(record.facts.get('name'))} lets in {who}",
            severity="medium" if whole else "critical",
            persona="pedantic" if whole else "regular",
            evidence=(
                ("issuer", shown(record.facts.get("issuer"))),
                *((shown(claim), shown(value, 120)) for claim, value in list(matchers.items())[:8]),
            ),
            change=f"compare these claims as well\n\n{_block(record, issuer)}",
            key="reach",
        )


def _block(record: Record, issuer: Issuer) -> str:
    name = "attribute_matchers" if record.kind.startswith("openai") else "claims"
    lines = [f'    "{claim}": "{value}"' for claim, value in issuer.bind.items()]
    return f'{{\n  "{name}": {{\n' + ",\n".join(lines) + "\n  }\n}"


def _matchers(record: Record) -> list[dict[str, object]]:
    """Claim → pattern, of each way in; none where what the rule compares can't be told."""
    facts = record.facts
    if record.kind == "openai.federation_rule":
        given, made = facts.get("matchers"), facts.get("transformed")
        if not isinstance(given, dict) or (isinstance(made, list) and any(str(each) in given for each in made)):
            return []
        return [{str(claim): value for claim, value in given.items()}]
    claims, subject = facts.get("claims"), facts.get("subject_prefix")
    if not isinstance(claims, dict) or not isinstance(subject, str):
        return []
    # Claims are compared letter for letter there: a * is none of a pattern's.
    found: dict[str, object] = {
        str(claim): value.replace("*", "_") if isinstance(value, str) else value for claim, value in claims.items()
    }
    found |= {"sub": subject} if subject else {}
    # All parts of a match must hold. What one way through the condition and they say of one claim: the condition's.
    made_of = map(_way, ways(str(facts.get("condition") or "")) or [])
    return [{**found, **more} for more in made_of if more is not None]


_PATTERNS = {"==": "{}", "startsWith": "{}*", "endsWith": "*{}", "contains": "*{}*"}


def _way(way: Way) -> dict[str, object] | None:
    """Claim → pattern; None where a test of it was not understood."""
    found: dict[str, object] = {}
    for test in way:
        if test.op == "always":
            continue
        form = _PATTERNS.get(test.op)
        if form is None or not test.claim or not test.values:
            return None
        found.setdefault(test.claim, form.format(test.values[0].replace("*", "_")))
    return found
