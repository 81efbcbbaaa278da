"""What rules about Jenkinsfiles have in common."""

from collections.abc import Iterator, Mapping
from typing import Any

from keylease.audit.model import Inventory, Record

KIND = "file.jenkinsfile"

VENDORS = {
    "AmazonWebServicesCredentialsBinding": "AWS_SECRET_ACCESS_KEY",
    "aws": "AWS_SECRET_ACCESS_KEY",
    "withAWS": "AWS_SECRET_ACCESS_KEY",
    "azureServicePrincipal": "AZURE_CLIENT_SECRET",
}
"""Binding of one vendor's credential → the variable that it sets unless it is told another one.

https://plugins.jenkins.io/aws-credentials/, https://plugins.jenkins.io/pipeline-aws/,
https://plugins.jenkins.io/azure-credentials/
"""


def rows(inventory: Inventory, fact: str) -> Iterator[tuple[Record, Mapping[str, Any], int]]:
    """(file, one row of the fact, its line) of all Jenkinsfiles."""
    for record in inventory.of(KIND):
        found = record.facts.get(fact)
        for row in found if isinstance(found, list) else ():
            if isinstance(row, dict) and isinstance(line := row.get("line"), int):
                yield record, row, line
