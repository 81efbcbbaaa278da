"""The cases with clouds measure what they say: five providers that issue credentials, which are proved to work."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from bench.cases import BASELINES, FIVE, FIVE_LATENCY, OURS, PEER, Peers, cases, floors
from bench.clouds import KEYS, Clouds, keylease_yml
from bench.latency import KINDS
from bench.layout import Layout
from bench.measure import BenchError
from tests.conftest import RunKeylease
from tests.e2e.runner import read_pairs
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Misbehaving, reply
from tests.leaks import Seeded

LAYOUT = Layout(Path("/nowhere"))
ISSUED = b"<Credentials></Credentials><SubjectFromWebIdentityToken/>"
FORM = {
    "Action": "AssumeRoleWithWebIdentity",
    "RoleArn": "arn:aws:iam::111122223333:role/ci",
    "RoleSessionName": "GitHubActions",
}


@pytest.fixture
def clouds(issuer: OIDCIssuer) -> Iterator[Clouds]:
    """With their proxies in this process."""
    with ExitStack() as stack:

        def way(upstream: str, latency: float, kind: str) -> str:
            assert latency == FIVE_LATENCY, "asked for by the test below"
            return stack.enter_context(KINDS[kind](upstream, record_requests=False)).url

        yield Clouds(issuer, stack, way)


def test_five_providers_lease_what_works(
    clouds: Clouds, issuer: OIDCIssuer, keylease: RunKeylease, seeded: Seeded, tmp_path: Path
) -> None:
    seeded.allow("add-mask")
    providers = clouds.providers(FIVE_LATENCY)
    assert tuple(providers) == FIVE
    config, out, temp = tmp_path / "five.yml", tmp_path / "env", tmp_path / "temp"
    temp.mkdir()
    seeded.allow_file(temp)
    config.write_text(keylease_yml(providers))
    out.touch()
    env = {**issuer.github_env(), "GITHUB_ENV": str(out), "RUNNER_TEMP": str(temp)}
    done = keylease("lease", "--config", str(config), "--format", "github", env=env)
    assert done.returncode == 0, done.stderr
    delivered = dict(read_pairs(out))
    names = [name for provider in providers.values() for name in provider.secrets]
    assert set(names) <= set(delivered)
    clouds.verify(delivered)
    for wrong in (*KEYS, *names[len(KEYS) :]):
        with pytest.raises(BenchError):
            clouds.verify({**delivered, wrong: "none"})


@pytest.mark.parametrize(
    ("form", "body", "named"),
    [
        (FORM, ISSUED, True),
        ({**FORM, "Action": "GetCallerIdentity"}, ISSUED, False),
        (FORM, b"<ErrorResponse/>", False),
    ],
    ids=["a session", "another call", "a refusal"],
)
def test_the_proxy_tells_whose_a_session_is(
    misbehaving: Misbehaving, form: dict[str, str], body: bytes, named: bool
) -> None:
    misbehaving.on("/", reply(body=body, content_type="text/xml"))
    with KINDS["sts"](misbehaving.url) as proxy:
        answer = requests.post(proxy.url, data=form, timeout=5).text
    told = "<Arn>arn:aws:sts::111122223333:assumed-role/ci/GitHubActions</Arn>"
    assert (told in answer) is named
    assert len(answer) >= len(body)


def test_a_peer_is_in_the_cases_of_its_kind() -> None:
    def where(peers: Peers) -> set[str]:
        return {case.name for case in cases() if PEER in [each.name for each in case.commands(LAYOUT, peers)]}

    for_aws = {case.name for case in cases() if case.name.startswith("aws")}
    assert for_aws
    assert where(Peers()) == set()
    assert where(Peers(aws="node aws.js")) == for_aws
    assert where(Peers(vault="node vault.js")) == {case.name for case in cases()} - for_aws - {"five-50ms"}
    assert "node -e 0" in floors(LAYOUT, Peers(aws="node aws.js"))
    assert "node -e 0" not in floors(LAYOUT, Peers(vault="./vault"))


def test_all_commands_start_with_ours_and_their_scripts_exist() -> None:
    for case in cases():
        commands = case.commands(LAYOUT, Peers())
        assert commands[0].name == OURS
        assert len({each.name for each in commands}) == len(commands)
    for script in ("hvac_script.py", "boto3_script.py"):
        assert (BASELINES / script).is_file()
