"""Why Conjur gave out no variable, and the policy that would let it."""

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.model import Read
from keylease.vendors.answers import Answer
from keylease.vendors.conjur_session import ConjurSession
from keylease.vendors.conjur_settings import VENDOR
from keylease.vendors.conjur_trust import LOAD, permits, yaml_text
from keylease.vendors.job_claims import heredoc


def refused_read(answer: Answer, read: Read, session: ConjurSession, *, alone: bool = False) -> KeyleaseError:
    """The error for a variable that was not handed out. alone: it was asked for by itself, not in a batch."""
    said = answer.text("error", "message")
    summary = f"{VENDOR}: {read}: {said or f'HTTP {answer.status}'}"
    role, account = session.token.role, session.connection.account
    host = role.removeprefix("host/")
    allow = heredoc(LOAD, "\n".join(permits(host, [read.path])))
    if answer.status == 404 and not answer.is_json:
        return garbage(answer, str(read))
    if answer.status == 404:
        cause = "there is no such variable, or it has no value yet"
        words = f"correct the reference, or give it a value: conjur variable set -i {yaml_text(read.path)} -v …"
        if alone:
            # A variable that the host may not even see is answered as one that is not there.
            cause += f", or no such version (the last 20 are kept), or {role} may not see it"
            return NotFoundError(
                summary,
                cause=cause,
                change=f"{words}\nor, if it is there, let the host read it:\n\n{allow}",
                docs="conjur-secret",
                detail=answer.detail,
            )
        return NotFoundError(summary, cause=cause, change=words, docs="conjur-secret", detail=answer.detail)
    if answer.status == 403:
        return RefusedError(
            summary,
            cause=f"{role} of account {account} has no privilege `execute` on this variable",
            change=f"let the host read this one, by a policy loaded where the variable's owner may:\n\n{allow}",
            docs="conjur-secret",
            detail=answer.detail,
        )
    if answer.status == 401:
        return RefusedError(
            summary,
            cause="the access token is not accepted any more: it lives for minutes, or the signing key was changed",
            change="read secrets early in the job",
            docs="conjur-secret",
            detail=answer.detail,
        )
    return RefusedError(
        summary,
        cause="Conjur does not accept this request; a dynamic secret may have trouble with its issuer",
        change="look for the request in the server's log",
        docs="conjur-secret",
        detail=answer.detail,
    )


def refused_list(answer: Answer, read: Read, session: ConjurSession) -> KeyleaseError:
    """The error for a list that was not given. What the host may not see is no reason: that is left out of the list."""
    said = answer.text("error", "message")
    role = session.token.role
    cause, change = f"Conjur does not let {role} list resources", "name each variable in the pattern's place"
    if answer.status == 401:
        cause = "the access token is not accepted any more: it lives for minutes, or the signing key was changed"
        change = "run the job again"
    elif answer.status == 422:
        cause = "the server is set to give out fewer at once (api_resource_list_limit_max)"
        change += "; or set it to 100 at the least"
    elif not answer.is_json and answer.status == 404:
        return garbage(answer, str(read))
    return RefusedError(
        f"{VENDOR}: {read}: {said or f'HTTP {answer.status}'}",
        cause=cause,
        change=change,
        docs="sync-listing",
        detail=answer.detail,
    )


def garbage(answer: Answer, label: str) -> UnreachableError:
    """The error for an answer that is none of Conjur's, or does not hold what was asked for."""
    return UnreachableError(
        f"{VENDOR}: {label}: the answer (HTTP {answer.status}) does not hold the variable",
        cause="something else than Conjur answered: a proxy, a login page, another path",
        change="check `url`: the address of the API (of a SaaS tenant it ends in /api)",
        docs="garbage",
        detail=answer.detail,
    )
