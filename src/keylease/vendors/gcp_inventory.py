"""Google's list methods as an audit asks them: to the end, or an error that says what to grant.

https://cloud.google.com/iam/docs/reference/rest, https://cloud.google.com/resource-manager/reference/rest,
https://cloud.google.com/policy-intelligence/docs/reference/policyanalyzer/rest
"""

import shlex
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError, NoListError, RefusedError
from keylease.http import HttpSettings
from keylease.vendors.answers import Answer, check_list
from keylease.vendors.gcp_settings import VENDOR
from keylease.vendors.gcp_trust import reasons

MAX_BODY = 16 * 1024 * 1024
"""Bytes of an answer. A page of 100 accounts has some 60 KB, a project's policy 250 KB at the most."""

_PAGES = 10_000


class Wanted(Struct, frozen=True):
    """What is asked for. what: for messages. service: whose API must be enabled. role: that lets it be listed.

    permission: the one that is needed, for a role of one's own.
    """

    what: str
    project: str
    service: str
    role: str
    permission: str

    @property
    def grant(self) -> str:
        """The command that gives the role."""
        return (
            f"gcloud projects add-iam-policy-binding {shlex.quote(self.project)} --role={self.role} --member=MEMBER"
            f" # or a role of your own with {self.permission}"
        )


class GcpLists:
    """headers: those of the credential. Safe to share between threads."""

    def __init__(self, context: Context, headers: Mapping[str, str], timeout: float, retries: int) -> None:
        self._headers = headers
        self._http = context.http.session(VENDOR, HttpSettings(timeout=timeout, retries=retries, max_body=MAX_BODY))

    def one(
        self, url: str, wanted: Wanted, params: Mapping[str, str], body: object = None, *, post: bool = False
    ) -> dict[str, Any]:
        """The answer of one request: a GET, or a POST that reads.

        Raises RefusedError (its detail has the status), NoListError, UnreachableError.
        """
        if not post:
            response = self._http.get(url, params=params, headers=self._headers)
        else:
            response = self._http.post(url, params=params, headers=self._headers, json=body)
        answer = Answer.of(response)
        check_list(VENDOR, wanted.what, answer)
        if not answer.ok:
            raise _refused(answer, wanted)
        return answer.data

    def all(self, url: str, key: str, wanted: Wanted, **params: str) -> list[dict[str, Any]]:
        """The objects under `key` of every page. An empty page has no such key, and may have a next one."""
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        token = ""
        for _ in range(_PAGES):
            data = self.one(url, wanted, {**params, **({"pageToken": token} if token else {})})
            items, token = data.get(key, []), data.get("nextPageToken", "")
            alien = set(data) - {key, "nextPageToken", "unreachable"}
            if alien or not _are_objects(items) or not isinstance(token, str) or data.get("unreachable"):
                raise no_list(wanted)
            found += items
            if not token:
                return found
            if token in seen:
                raise NoListError(
                    f"{VENDOR}: {wanted.what}: the list begins again: it has no end", change="run it again; report it"
                )
            seen.add(token)
        raise NoListError(f"{VENDOR}: {wanted.what}: the list has no end", change="report it")


def no_list(wanted: Wanted) -> NoListError:
    """The error for an answer that is something else."""
    return NoListError(
        f"{VENDOR}: {wanted.what}: the answer is no list of them",
        cause="something else than Google's API answered, or it has changed",
        change="check the address and the proxy",
    )


def _are_objects(items: object) -> bool:
    return isinstance(items, list) and all(isinstance(each, dict) for each in items)


def _refused(answer: Answer, wanted: Wanted) -> KeyleaseError:
    said = ": ".join(filter(None, [answer.text("error", "status"), answer.text("error", "message")]))
    summary = f"{VENDOR}: {wanted.what}: {said or f'HTTP {answer.status}'}"
    if answer.status == 401:
        return RefusedError(
            summary,
            cause="the access token is over, revoked, or not one of Google's",
            change="give a new one: gcloud auth print-access-token; or name a provider (`provider: gcp`)",
            docs="gcp-inventory",
            detail=answer.detail,
        )
    why = reasons(answer)
    if "SERVICE_DISABLED" in why:
        change = f"gcloud services enable {wanted.service} --project={shlex.quote(wanted.project)}"
        return RefusedError(summary, cause="the API is off", change=change, docs="gcp-inventory", detail=answer.detail)
    if "ACCESS_TOKEN_SCOPE_INSUFFICIENT" in why:
        change = "scopes: [https://www.googleapis.com/auth/cloud-platform]"
        cause = "the access token's scope is too narrow"
        return RefusedError(summary, cause=cause, change=change, docs="gcp-inventory", detail=answer.detail)
    if answer.status == 404:
        cause = f"there is no project {wanted.project}, or what was listed is gone"
        change = "correct `projects`"
    else:
        cause, change = f"no {wanted.permission}", wanted.grant
    return RefusedError(summary, cause=cause, change=change, docs="gcp-inventory", detail=answer.detail)
