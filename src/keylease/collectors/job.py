"""Credentials that lie in the job's own environment, told by their vendor's exact form. Nothing is asked of anybody."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from keylease.audit.literals import credentials_in
from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.facts import last_four, text


class JobSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to say but what to leave out.

    ignore: variables, by name.
    """

    ignore: tuple[str, ...] = ()


_SORTS: Mapping[str, str] = {
    "AWS access key id": "aws",
    "AWS secret access key": "aws",
    "Anthropic key": "anthropic",
    "OpenRouter key": "openrouter",
    "OpenAI key": "openai",
    "Hugging Face token": "huggingface",
    "Databricks token": "databricks",
    "Pinecone key": "pinecone",
    "Vault token": "vault",
    "GitHub token": "github",
    "GitLab token": "gitlab",
    "Slack token": "slack",
    "Stripe key": "stripe",
    "Google API key": "google",
    "npm token": "npm",
    "PyPI token": "pypi",
    "Docker token": "docker",
    "SendGrid key": "sendgrid",
    "private key": "private-key",
}

# The platform's own tokens end with the job: of a GitHub App's installation, and of a GitLab job.
_OF_THE_JOB = ("ghs_", "glcbt-")

# What can be a lease (which ends by itself) as well as a token that somebody made for a year: the form does not tell.
_EITHER = ("sk-ant-oat", "hvs.", "hvb.", "ghu_", "gho_")

# Acts as a person in all that the person may, by its form.
# https://docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
_PERSONAL = ("ghp_", "github_pat_")


class JobCollector(Collector):
    """One record a variable and vendor. The value is sealed, and only its public beginning and last four signs stay."""

    type: ClassVar[str] = "job"
    kinds: ClassVar[tuple[str, ...]] = ("job.variable",)
    Settings: ClassVar[Any] = JobSettings

    settings: JobSettings

    def collect(self) -> Inventory:
        """See the base class."""
        self.whole("job.variable")
        for name in sorted(self.context.env):
            if name in self.settings.ignore:
                continue
            seen: set[str] = set()
            for found in credentials_in(self.context.env[name], name):
                self.context.seal(found.value, f"{name} of the job")
                sort = _SORTS.get(found.what, "")
                if not sort or sort in seen or found.prefix.startswith(_OF_THE_JOB):
                    continue
                seen.add(sort)
                shown = text({"name": name}, "name")
                facts: dict[str, Any] = {
                    "name": shown,
                    "sort": sort,
                    "label": found.what,
                    "static": None if found.prefix.startswith(_EITHER) else True,
                }
                if found.prefix and sort != "private-key":
                    facts["hint"] = last_four(found.value, found.prefix)
                if found.prefix.startswith(_PERSONAL) or (sort == "openai" and found.prefix == "sk-"):
                    facts["personal"] = True
                if found.prefix.startswith(("sk-admin-", "sk-ant-admin")):
                    facts["level"] = "admin"
                self.record("job.variable", f"job://environment/variable/{shown}", **facts)
        return self.inventory
