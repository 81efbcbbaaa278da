"""Google Cloud's settings: defaults, where the project comes from, and what is refused."""

from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.exchange.gcp import GcpExchanger
from tests.fakes.gcp_sts import ACCOUNT, AUDIENCE, DELEGATE, PROVIDER

SUBJECT = {"access_token_subject": "somebody@acme.example", "service_account": ACCOUNT}


def complete(env: dict[str, str] | None = None, **given: Any) -> Any:
    return GcpExchanger.complete(GcpExchanger.Settings(workload_identity_provider=PROVIDER, **given), env or {})


def test_defaults() -> None:
    s = complete()
    assert (s.audience, s.resource) == (AUDIENCE, f"//iam.googleapis.com/{PROVIDER}")
    assert (s.sts_url, s.iam_url) == ("https://sts.googleapis.com", "https://iamcredentials.googleapis.com")
    assert s.credentials_file is True
    assert GcpExchanger.complete(s, {}) == s
    prefixed = GcpExchanger.Settings(workload_identity_provider=f"//iam.googleapis.com/{PROVIDER}")
    assert GcpExchanger.complete(prefixed, {}).workload_identity_provider == PROVIDER


def test_where_the_project_comes_from() -> None:
    assert complete(service_account=ACCOUNT).project_id == "acme-ml"
    assert complete({"GOOGLE_CLOUD_PROJECT": "from-env"}, service_account=ACCOUNT).project_id == "from-env"
    assert complete(service_account=ACCOUNT, project_id="written").project_id == "written"
    scoped = "bot@trainer-1.acme.com.iam.gserviceaccount.com"
    assert complete(service_account=scoped).project_id == "acme.com:trainer-1"
    assert complete(service_account="123-compute@developer.gserviceaccount.com").project_id == ""


def test_another_universe_must_be_allowed_by_the_job() -> None:
    hosts = {"KEYLEASE_ALLOW_HOSTS": "sts.apis-example.goog,iamcredentials.apis-example.goog"}
    s = complete(hosts, universe_domain="apis-example.goog")
    assert s.sts_url == "https://sts.apis-example.goog"
    assert s.audience == AUDIENCE, "Google expects its own domain here in any universe"
    with pytest.raises(UsageError, match="`universe_domain`"):
        complete(universe_domain="apis-example.goog")


def test_a_universe_must_be_allowed_also_where_both_addresses_are_google_s() -> None:
    # It goes into the credentials file, of which Google's libraries make the addresses that get the access token.
    own: dict[str, Any] = {"sts_url": "https://sts.googleapis.com", "iam_url": "https://iamcredentials.googleapis.com"}
    assert complete(**own).universe_domain == "googleapis.com"
    with pytest.raises(UsageError, match="`universe_domain` is not one of Google Cloud's own hosts"):
        complete(**own, universe_domain="evil.example")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"workload_identity_provider": ""}, "workload_identity_provider"),
        ({"workload_identity_provider": PROVIDER.replace("123456789012", "acme-ml")}, "workload_identity_provider"),
        ({"workload_identity_provider": PROVIDER.rpartition("/providers/")[0]}, "workload_identity_provider"),
        ({"service_account": "a/b@x.iam.gserviceaccount.com"}, "service_account"),
        ({"service_account": "--project=x"}, "service_account"),
        ({"project_id": "$(id)"}, "project_id"),
        ({"delegates": ["x y"]}, "delegates"),
        ({"delegates": [DELEGATE]}, "delegates"),
        ({"service_account": ACCOUNT, "delegates": [DELEGATE], "credentials_file": True}, "credentials_file"),
        ({"id_token_audience": "https://run.example"}, "id_token_audience"),
        ({"access_token_subject": "somebody@acme.example"}, "access_token_subject"),
        ({"access_token_subject": "somebody", "service_account": ACCOUNT}, "access_token_subject"),
        ({**SUBJECT, "lifetime": "2h"}, "access_token_subject"),
        ({**SUBJECT, "access_token": False}, "access_token_subject"),
        ({**SUBJECT, "service_account": "1" * 20}, "access_token_subject"),
        ({"oauth_url": "https://evil.example"}, "oauth_url"),
        ({"secret_manager_url": "https://evil.example"}, "secret_manager_url"),
        ({"quota_project": "$(id)"}, "quota_project"),
        ({"request_reason": "a\nb"}, "request_reason"),
        ({"request_reason": "\u00e9"}, "request_reason"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["a b"]}, "scopes"),
        ({"lifetime": "13h"}, "lifetime"),
        ({"lifetime": 0}, "lifetime"),
        ({"lifetime": "soon"}, "lifetime"),
        ({"access_token": False, "credentials_file": False}, "access_token"),
        ({"audience": "a\nb"}, "audience"),
        ({"sts_url": "https://evil.example"}, "sts_url"),
        ({"iam_url": "http://iamcredentials.googleapis.com"}, "iam_url"),
        ({"sts_url": "https://firebasestorage.googleapis.com/v0/b/evil.appspot.com/o"}, "sts_url"),
        ({"sts_url": "https://iamcredentials.googleapis.com"}, "sts_url"),
        ({"secret_manager_url": "https://evil.storage.googleapis.com"}, "secret_manager_url"),
        ({"iam_url": "https://evil.storage.googleapis.com"}, "iam_url"),
        ({"universe_domain": "evil.example"}, "universe_domain"),
        ({"universe_domain": "storage.googleapis.com"}, "universe_domain"),
        ({"universe_domain": "evil.example/x"}, "universe_domain"),
        ({"timeout": "never"}, "timeout"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError) as caught:
        GcpExchanger.complete(GcpExchanger.Settings(**{"workload_identity_provider": PROVIDER, **given}), {})
    assert f"Google Cloud: `{key}`" in caught.value.summary
    assert caught.value.change
