"""The collector of Jenkins on the fake: stores, domains, uses, refusals."""

import pytest

from keylease.collectors.base import Access
from keylease.collectors.jenkins import JenkinsCollector, JenkinsCollectSettings
from keylease.context import Context
from keylease.errors import RefusedError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.targets.jenkins import JenkinsTarget
from keylease.vendors.jenkins_settings import JenkinsSettings
from tests.fakes.jenkins_credentials import TEXT, Credential
from tests.fakes.jenkins_rest import FakeJenkins
from tests.integration.collecting import as_json


def test_stores_domains_uses_and_a_folder_that_may_not_be_viewed() -> None:
    env = {"JENKINS_API_TOKEN": "token-of-the-fake"}
    with FakeJenkins() as server:
        server.add_user("audit", token=env["JENKINS_API_TOKEN"])
        server.add_folder("team/app", "prod")
        for folder, domain, name in (("", "", "one"), ("team/app", "prod", "two"), ("team/app", "", "three")):
            server.plant(folder, domain, Credential(TEXT, name, "GLOBAL", "", secrets={"secret": b"the-value-kept"}))
        server.used_by["two"] = ["team/app/deploy"]
        settings = JenkinsTarget.complete(JenkinsSettings(url=server.url, user="audit", retries=0), env)
        context = Context(env, Masker(), Deadline(10))
        access = Access(target=JenkinsTarget("jenkins", settings, context))
        wanted = JenkinsCollectSettings(folders=["team/app", "gone"])
        found = JenkinsCollector(wanted, context, access).collect()
    by_name = {record.facts["name"]: record.facts for record in found.of("jenkins.credential")}
    assert {name: (facts["holder"], facts["domain"], facts["used_by"]) for name, facts in by_name.items()} == {
        "one": ("system", "", None),
        "two": ("team/app", "prod", ["team/app/deploy"]),
        "three": ("team/app", "", None),
    }
    [problem] = found.problems
    assert "Credentials/View" in problem.change
    assert "the-value" not in as_json(found)


def test_no_store_at_all_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no store"):
        JenkinsCollector.complete(JenkinsCollectSettings(system=False), {})
    with pytest.raises(UsageError, match="no folder's full name"):
        JenkinsCollector.complete(JenkinsCollectSettings(folders=["team/../app"]), {})


@pytest.mark.parametrize("system", [True, False])
def test_a_token_that_is_refused_ends_it(system: bool) -> None:
    env = {"JENKINS_API_TOKEN": "not-the-token"}
    with FakeJenkins() as server:
        server.add_user("audit", token="token-of-the-fake")
        server.add_folder("team/app")
        settings = JenkinsTarget.complete(JenkinsSettings(url=server.url, user="audit", retries=0), env)
        context = Context(env, Masker(), Deadline(10))
        access = Access(target=JenkinsTarget("jenkins", settings, context))
        wanted = JenkinsCollectSettings(system=system, folders=["team/app"])
        with pytest.raises(RefusedError, match="401"):
            JenkinsCollector(wanted, context, access).collect()


def test_a_hostile_id_stays_in_facts() -> None:
    env = {"JENKINS_API_TOKEN": "token-of-the-fake"}
    name = "x\x1b[31m\n::error::"
    with FakeJenkins() as server:
        server.add_user("audit", token=env["JENKINS_API_TOKEN"])
        server.plant("", "", Credential(TEXT, name, "GLOBAL", "", secrets={"secret": b"the-value-kept"}))
        settings = JenkinsTarget.complete(JenkinsSettings(url=server.url, user="audit", retries=0), env)
        context = Context(env, Masker(), Deadline(10))
        access = Access(target=JenkinsTarget("jenkins", settings, context))
        [record] = JenkinsCollector(JenkinsCollectSettings(), context, access).collect().of("jenkins.credential")
    assert record.facts["name"] == name
    assert record.subject.isprintable()
