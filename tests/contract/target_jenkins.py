"""The contract battery's Jenkins: what it keeps of credentials in a folder, behind a proxy."""

import secrets

import pytest

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.sync.model import Slot
from keylease.targets.base import Place, Target
from keylease.targets.jenkins import JenkinsTarget
from keylease.vendors.jenkins_settings import JenkinsSettings, JenkinsTo, complete
from tests.contract.target_harness import WireHarness
from tests.fakes.jenkins_credentials import TEXT, Credential
from tests.fakes.jenkins_rest import CREATE, VIEW, FakeJenkins
from tests.fakes.misbehaving import Proxy
from tests.leaks import current

USER = "keylease"


class JenkinsHarness(WireHarness):
    kinds = ("secret-text", "username-password", "secret-file")
    good_names = ("A", "DB_PASSWORD_2", "kebab-case", "v1.2")
    bad_names = ("", "a b", "a/b", "ü", "..", "KEYLEASE_LEDGER_ML_PROD__1")
    addresses = (
        ("jenkins://", "jenkins:///", "jenkins://?domain=_"),
        ("jenkins://?folder=Team/App", "jenkins://?folder=/team/app/", "jenkins://?folder=team%2Fapp&kind=secret-file"),
        ("jenkins://?folder=team/app&domain=prod", "jenkins://?domain=prod&folder=TEAM/app"),
    )
    bad_addresses = (
        "jenkins://?folder=a//b",
        "jenkins://?folder=../b",
        "jenkins://?folder=a&folder=b",
        "jenkins://?colour=red",
        "jenkins://?kind=password",
        "jenkins://?domain=a/b",
        "jenkins://?folder=a&scope=SYSTEM",
        "jenkins://?username=deploy",
        "jenkins://?description=%0A",
        "jenkins://me@ci.example.com/",
        "jenkins://?folder",
        "jenkins://#folder=a",
    )
    list_pattern = "*/domain/_/api/json"
    write_pattern = "*/createCredentials"
    write_method = "POST"
    list_permission = "Credentials/View"
    write_permission = "Credentials/Create"
    ledger_permission = "Credentials/Create"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.jenkins = FakeJenkins(prefix="/ci")
        self.token = secrets.token_hex(17)
        current.add(self.token)
        self.jenkins.add_user(USER, token=self.token)
        self.jenkins.add_folder("team/app", "prod")
        # An ID is one credential, whatever its type: the battery's kinds are types, each in a folder of its own.
        for kind in self.kinds:
            for n in (1, 2):
                self.jenkins.add_folder(f"team/{kind}-{n}")
        self.jenkins.start()
        request.addfinalizer(self.jenkins.stop)
        self.proxy = Proxy(self.jenkins.url).start()
        request.addfinalizer(self.proxy.stop)
        self._context = Context({"JENKINS_API_TOKEN": self.token}, Masker(), Deadline(60))
        self.seal = self._context.seal
        self._writes = 0

    def target(self) -> Target:
        settings = complete(JenkinsSettings(url=f"{self.proxy.url}/ci", user=USER), {})
        return JenkinsTarget("jenkins", settings, self._context)

    def place(self, kind: str, number: int = 1) -> Place:
        [place] = self.target().places(_to(f"Team/{kind}-{number}", kind))
        return place

    def plant(self, place: Place, slot: Slot, value: str) -> None:
        # Somebody who tells about it. Whoever does not is not seen: tests/integration/test_sync_jenkins.py.
        self._writes += 1
        planted = Credential(TEXT, slot.name, "GLOBAL", f"by hand, {self._writes}", {}, {"secret": value.encode()})
        self.jenkins.plant(_folder(place), "", planted)

    def stored(self, place: Place, slot: Slot) -> bytes | None:
        found = self.jenkins.credentials(_folder(place)).get(slot.name)
        return found.value if found else None

    def missing(self, kind: str) -> Place:
        [place] = self.target().places(_to("team/nowhere", kind))
        return place

    def without(self, what: str) -> Target:
        # A ledger is a credential like any other: no permission of its own.
        token = secrets.token_hex(17)
        current.add(token)
        weak = self.jenkins.add_user("weak", token=token)
        weak.permissions.discard(VIEW if what == "list" else CREATE)
        settings = complete(JenkinsSettings(url=f"{self.proxy.url}/ci", user=weak.name), {})
        return JenkinsTarget("jenkins", settings, Context({"JENKINS_API_TOKEN": token}, Masker(), Deadline(60)))


def _to(folder: str, kind: str) -> JenkinsTo:
    username = "deploy" if kind == "username-password" else ""
    return JenkinsTo(folder=folder, kind=kind, username=username)  # type: ignore[arg-type]


def _folder(place: Place) -> str:
    return place.address.partition("folder=")[2]


def make(request: pytest.FixtureRequest) -> JenkinsHarness:
    """See tests/contract/test_targets.py."""
    return JenkinsHarness(request)
