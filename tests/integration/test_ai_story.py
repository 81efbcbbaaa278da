"""Keys in a job, a vendor's records of them, and what the audit makes of both: collected over sockets, then judged."""

from keylease.audit.model import Inventory, Verdict
from keylease.audit.policy import AuditPolicy
from keylease.pipelines.audit import judge
from keylease.registry import RULES
from tests.fakes.anthropic_admin import AnthropicAdmin
from tests.fakes.openai_admin import AT, OpenAIAdmin
from tests.integration.collecting import as_json, collector
from tests.leaks import Seeded

TAIL = "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW"
GITHUB = "https://token.actions.githubusercontent.com"
MINE = [name for name in RULES if name.startswith(("ai-", "job-", "huggingface-")) or name == "ci-copy-outdated"]


def verdict(inventory: Inventory) -> Verdict:
    return judge(inventory, [RULES.load(name)() for name in MINE], AuditPolicy())


def test_what_the_audit_says(seeded: Seeded) -> None:
    admin, left = f"sk-admin-{TAIL}{TAIL}", f"sk-proj-{TAIL}{TAIL[::-1]}"
    claude, claude_admin = f"sk-ant-api03-{TAIL * 3}", f"sk-ant-admin01-{TAIL[::-1] * 3}"
    oauth = f"sk-ant-oat01-{TAIL[5:] * 4}"
    seeded.add(admin, left, claude, claude_admin, oauth)
    job = {"OPENAI_ADMIN_KEY": admin, "OPENAI_API_KEY": left, "ANTHROPIC_API_KEY": claude}
    found = Inventory()
    with OpenAIAdmin(admin) as openai, AnthropicAdmin(claude_admin, oauth) as anthropic:
        openai.project("proj_1", "Research")
        openai.api_key("proj_1", "key_1", left, user="bea", active=False, last_used_at=AT)
        openai.api_key("proj_1", "key_2", f"sk-proj-{TAIL}{TAIL}")
        openai.admin_key("key_3", admin)
        openai.provider("wip_1", GITHUB)
        openai.rule("wip_1", "rule_1", {"aud": "x"})
        openai.rule("wip_1", "rule_2", {"repository_id": "7"}, ["api.model.request"])
        anthropic.api_key("apikey_1", claude, user="user_7")
        anthropic.issuer("fdis_1")
        anthropic.rule("fdrl_1", "fdis_1", {"subject_prefix": "repo:acme*"})
        env = {"ADMIN": admin, "CLAUDE": claude_admin, "OAUTH": oauth}
        settings = {"admin_key_env": "CLAUDE", "token_env": "OAUTH", "url": anthropic.url}
        found.add(collector("openai", {"admin_key_env": "ADMIN", "url": f"{openai.url}/v1"}, env).collect())
        found.add(collector("anthropic", settings, env).collect())
        found.add(collector("job", {}, job).collect())
    assert found.problems == []
    made = verdict(found)
    told = {(each.rule, each.subject) for each in made.findings if each.persona == "regular"}
    assert told == {
        ("ai-admin-key-in-ci", "job://environment/variable/OPENAI_ADMIN_KEY"),
        ("ai-personal-key-in-ci", "job://environment/variable/OPENAI_API_KEY"),
        ("ai-personal-key-in-ci", "job://environment/variable/ANTHROPIC_API_KEY"),
        ("ai-key-owner-left", "openai://proj_1/key/key_1"),
        ("ai-key-unscoped", "anthropic://organization/key/apikey_1"),
        ("ai-federation-rule-open", "openai://wip_1/federation-rule/rule_1"),
        ("ai-federation-rule-open", "anthropic://organization/federation-rule/fdrl_1"),
        ("job-static-key", "job://environment/variable/OPENAI_API_KEY"),
        ("job-static-key", "job://environment/variable/ANTHROPIC_API_KEY"),
    }
    (whose,) = [each for each in made.findings if each.subject.endswith("OPENAI_API_KEY") and "person" in each.message]
    assert "bea@example.com" in dict(whose.evidence)["key key key_1"]
    assert made.findings[0].severity == "critical"
    for value in (admin, left, claude, claude_admin, oauth):
        assert value not in repr(made.findings)
        assert value not in as_json(found)


def test_what_was_not_asked_is_not_checked() -> None:
    with AnthropicAdmin("sk-ant-admin01-x", "none") as anthropic:
        settings = {"admin_key_env": "A", "url": anthropic.url}
        made = verdict(collector("anthropic", settings, {"A": "sk-ant-admin01-x"}).collect())
    why = {each.rule: (each.why, each.change) for each in made.not_checked}
    assert "federation rules were not asked for" in why["ai-federation-rule-open"][0]
    assert "org:admin" in why["ai-federation-rule-open"][1]
    assert "huggingface-token-writes" in why
    assert "ai-key-unscoped" not in why
