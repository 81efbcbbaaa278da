"""What the rules about Kubernetes manifests have in common."""

import re
from collections.abc import Iterator

from keylease.audit.model import Inventory, Record
from keylease.audit.workflows import shown

KIND = "file.kubernetes"
SAMPLE = "deploy/manifest.yaml"

_TRYOUT = re.compile(
    r"(?:^|/)(?:tests?|testing|testdata|__snapshots?__|e2e|examples?|samples?|snippets|fixtures|demos?|docs?|tutorials?|quickstart|kind|local|dev)/"
    r"|(?:^|[._-])(?:test|tests|example|sample|demo|local|dev|development|kind|minikube)(?=[._-])",
    re.IGNORECASE,
)


def manifests(inventory: Inventory, *kinds: str) -> Iterator[Record]:
    """Those of some kinds of object; of all without."""
    for record in inventory.of(KIND):
        if not kinds or record.facts.get("kind") in kinds:
            yield record


def name_of(record: Record) -> str:
    """For a message: ``Secret prod/db``."""
    kind, place, name = (shown(record.facts.get(each) or "") for each in ("kind", "namespace", "name"))
    return f"{kind} {place}/{name}" if place else f"{kind} {name}".strip()


def is_tryout(record: Record) -> bool:
    """Whether its path says that it is an example or a developer's own."""
    return record.location is not None and bool(_TRYOUT.search(record.location.path))
