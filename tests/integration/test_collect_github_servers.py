"""Several servers of GitHub, over the fake."""

from keylease.audit.model import Inventory
from keylease.audit.policy import AuditPolicy
from keylease.collectors.base import Access
from keylease.collectors.github import PUBLIC_HOST, GitHubCollector, GitHubCollectSettings
from keylease.pipelines.audit import judge
from keylease.registry import RULES
from tests.fakes.github_rest import GitHubRest
from tests.integration.github_inventory import WORKFLOW, collected, host_of
from tests.integration.github_sync import target_of


def test_servers_are_told_apart() -> None:
    """Two that have a repository of one name: nothing of one is taken for the other's."""
    both = Inventory()
    with GitHubRest() as one, GitHubRest() as other:
        for github in (one, other):
            github.add_repository("acme/trainer", visibility="private")
            github.put("acme/trainer", "secret", "NPM_TOKEN", "v")
        other.repositories["acme/trainer"].files = {".github/workflows/ci.yml": WORKFLOW}
        for github in (one, other):
            both.add(collected(github, repository="acme/trainer"))
    assert {each.subject for each in both.of("github.secret")} == {
        f"github://{host_of(github)}/acme/trainer/secret/NPM_TOKEN" for github in (one, other)
    }
    (finding,) = judge(both, [RULES.load("github-secret-unused")()], AuditPolicy()).findings
    assert finding.subject == f"github://{host_of(one)}/acme/trainer/secret/NPM_TOKEN"


def test_subjects_of_github_com_do_not_name_it() -> None:
    """Baselines hold them as they are."""
    with GitHubRest() as github:
        target = target_of(github, token=github.add_token(kind="integration"))
        made = GitHubCollector(GitHubCollectSettings(repository="acme/x"), target.context, Access(target=target))
        made.server = PUBLIC_HOST
        made.record("github.secret", "github://acme/x/secret/A", name="A")
    (record,) = made.inventory.records
    assert (record.subject, record.facts) == ("github://acme/x/secret/A", {"name": "A", "server": "github.com"})
