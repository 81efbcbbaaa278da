"""Jenkins: the credentials of its stores, and which jobs used them.

docs/user.adoc of the Credentials plugin ("REST API") and CredentialsStoreAction.java. Jenkins tells no dates. A
credential without a fingerprint was never used, or Jenkins does not track: which of both, it does not tell.
"""

from functools import partial
from typing import Any, cast
from urllib.parse import quote

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.jenkins_api import JenkinsApi
from keylease.vendors.jenkins_settings import JenkinsTo, address_of, checked, path_of

_CHANGE = "give the user Overall/Read, Job/Read on each folder of the path, and Credentials/View there"


class JenkinsCollectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of Jenkins is looked at.

    system: whether its own store is. folders: whose stores besides, by full names.
    """

    system: bool = True
    folders: list[str] = []


class JenkinsCollector(Collector):
    """All domains of the stores that are named."""

    type = "jenkins"
    kinds = ("jenkins.credential",)
    permissions = ("Overall/Read", "Job/Read on the folders", "Credentials/View")
    via = "target"
    via_types = ("jenkins",)
    Settings = JenkinsCollectSettings

    settings: JenkinsCollectSettings

    @classmethod
    def complete(cls, settings: JenkinsCollectSettings, env: Env) -> JenkinsCollectSettings:
        """See the base class."""
        del env
        if not settings.system and not settings.folders:
            raise UsageError("Jenkins: there is no store to look at", change="system: true, or folders: [NAME]")
        for folder in settings.folders:
            checked(JenkinsTo(folder=folder))
        return settings

    def collect(self) -> Inventory:
        """See the base class."""
        api: JenkinsApi = cast(Any, self.access.target).api
        self.whole("jenkins.credential")
        for folder in ([""] if self.settings.system else []) + self.settings.folders:
            self.attempt(self.kinds, partial(self._store, api, checked(JenkinsTo(folder=folder))), _CHANGE)
        return self.inventory

    def _store(self, api: JenkinsApi, to: JenkinsTo) -> None:
        for domain in api.domains(path_of(to), address_of(api.url, to)):
            place = msgspec.structs.replace(to, domain=domain)
            address = address_of(api.url, place)
            for item in api.used_items(path_of(place), address):
                self.record(
                    "jenkins.credential",
                    f"{address}#{quote(item.id, safe='@:+ ')}",
                    **{"name": item.id, "class": item.type_name, "description": item.description},
                    store=f"folder {to.folder}" if to.folder else "system",
                    holder=to.folder or "system",
                    domain=domain,
                    used_by=item.used_by,
                )
