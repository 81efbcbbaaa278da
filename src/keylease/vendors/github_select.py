"""An organisation's repositories by name, topic and custom property.

https://docs.github.com/rest/repos/repos, …/rest/orgs/custom-properties
"""

from collections.abc import Sequence

from keylease.errors import NotFoundError
from keylease.sync.naming import matches
from keylease.vendors.github_api import Api, Item
from keylease.vendors.github_errors import garbage, permission
from keylease.vendors.github_settings import Select, many


def selected(api: Api, organization: str, select: Select) -> list[str]:
    """``acme/trainer`` … of those that are meant, sorted; archived and disabled ones never are.

    Raises NotFoundError when there are none: a selector that has lost its repositories is a mistake.
    """
    doing = f"github://{organization}: listing repositories"
    listed = api.every(f"/orgs/{organization}/repos", doing, permission("metadata", "read"), {"type": "all"})
    return chosen(api, organization, select, listed)


def chosen(api: Api, organization: str, select: Select, listed: Sequence[Item]) -> list[str]:
    """Those of `listed`, GitHub's repositories, that are meant; see :func:`selected`."""
    doing = f"github://{organization}: listing repositories"
    held = _with_properties(api, organization, select) if select.properties else None
    topics, names = set(many(select.topics)), [each.lower() for each in many(select.names)]
    found = []
    for item in listed:
        full, name, archived = item.get("full_name"), item.get("name"), item.get("archived")
        if not (isinstance(full, str) and isinstance(name, str) and isinstance(archived, bool)):
            raise garbage(doing, 200, "an item of the answer")
        if full.lower() != f"{organization}/{name}".lower():
            # Values go to what the configuration names, not to where an answer points.
            raise garbage(doing, 200, "a repository of another account in the answer")
        tagged = item.get("topics")
        keep = not names or any(matches(pattern, name.lower()) for pattern in names)
        keep = keep and topics <= (set(tagged) if isinstance(tagged, list) else set())
        keep = keep and (held is None or full.lower() in held)
        if keep and not archived and item.get("disabled") is not True:
            found.append(full)
    if not found:
        raise NotFoundError(
            f"GitHub: github://{organization}: `select` matches none of {len(listed)} repositories",
            cause="another name, topic or property; archived ones are left out; or the credential may not see them",
            change="check `select`, and which repositories the token or the App may use",
            docs="github-to",
        )
    return sorted(found, key=str.lower)


def _with_properties(api: Api, organization: str, select: Select) -> set[str]:
    doing = f"github://{organization}: listing custom properties"
    needs = permission("organization_custom_properties", "read")
    found = set()
    for item in api.every(f"/orgs/{organization}/properties/values", doing, needs):
        full, given = item.get("repository_full_name"), item.get("properties")
        if not (isinstance(full, str) and isinstance(given, list)):
            raise garbage(doing, 200, "an item of the answer")
        values = {each.get("property_name"): each.get("value") for each in given if isinstance(each, dict)}
        if all(_holds(values.get(name), value) for name, value in select.properties.items()):
            found.add(full.lower())
    return found


def _holds(value: object, wanted: str) -> bool:
    # A custom property is text, a list of texts (several choices), or nothing.
    return wanted in value if isinstance(value, list) else value == wanted
