"""How Hugging Face's token endpoint is reached, as the user writes it."""

import re
from urllib.parse import urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience

VENDOR = "Hugging Face"
DOCS = "huggingface-settings"

ENDPOINT = "https://huggingface.co"
PATH = "/oauth/token"
"""https://huggingface.co/docs/hub/trusted-publishers ("API reference")"""

FORMS = "acme/model, datasets/acme/corpus, spaces/acme/demo, kernels/acme/kernel, buckets/acme/runs, or a user's name"

# Names: validate_repo_id of huggingface_hub/utils/_validators.py.
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_KINDS = "datasets|spaces|kernels|buckets"
_RESOURCE = re.compile(rf"(?:(?:{_KINDS})/)?(?!(?:models|{_KINDS})/){_NAME}/{_NAME}|{_NAME}")


class HuggingFaceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hugging Face's trusted publishers.

    resource: what the token is for: a repository (``acme/model``, ``datasets/acme/corpus``, ``spaces/…``,
        ``kernels/…``, ``buckets/…``) or a user's name. Falls back to ``HF_OIDC_RESOURCE``.
    endpoint: the Hub. Falls back to ``HF_ENDPOINT``, then ``https://huggingface.co``.
    audience: the `aud` of the identity token; by default `endpoint`, the only one that the Hub takes.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    resource: str = ""
    endpoint: str = ""
    audience: str = ""
    timeout: float | str = 10.0
    retries: int = 4

    @property
    def is_user(self) -> bool:
        """Whether `resource` is a user, not a repository."""
        return "/" not in self.resource


def complete(settings: HuggingFaceSettings, env: Env) -> HuggingFaceSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    resource = (s.resource or env.get("HF_OIDC_RESOURCE", "")).strip()
    if not resource:
        raise UsageError(
            "Hugging Face: `resource` is missing",
            change=f"resource: {FORMS}",
            docs=DOCS,
        )
    if not _RESOURCE.fullmatch(resource):
        raise UsageError(
            "Hugging Face: `resource` is neither a repository nor a user's name",
            change=f"resource: {FORMS}",
            docs=DOCS,
        )
    mirror = "" if s.endpoint else env.get("HF_ENDPOINT", "").strip()
    try:
        endpoint = checked(s.endpoint or mirror or ENDPOINT, "endpoint", VENDOR, ["huggingface.co"], env)
    except UsageError as error:
        if mirror:
            error.cause = (
                "it comes from HF_ENDPOINT of the job: a mirror, it seems, and a mirror gets no identity token"
            )
            error.change = f"endpoint: {ENDPOINT}   # HF_ENDPOINT is set to it for the later steps, too"
        raise
    if urlsplit(endpoint).path and (urlsplit(endpoint).hostname or "").endswith("huggingface.co"):
        # Below the Hub's paths lie files of anybody's, and the endpoint becomes a variable of the job.
        raise UsageError("Hugging Face: `endpoint` has a path", change=f"endpoint: {ENDPOINT}", docs=DOCS)
    return msgspec.structs.replace(
        s,
        resource=resource,
        endpoint=endpoint,
        audience=audience(VENDOR, s.audience or endpoint, docs=DOCS),
        timeout=timeout,
        retries=retries,
    )
