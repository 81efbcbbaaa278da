"""The audit's page, read by Python's own parser of HTML."""

import base64
import hashlib
import re
from html.parser import HTMLParser

_VOID = ("meta", "input")
_TAGS = frozenset(
    re.findall(
        r"\S+",
        "html head meta title style script body main h1 h2 h3 p ul li b nav a section form label input select option "
        "button table caption thead tbody tr th td details summary dl dt dd pre div span figure figcaption svg text "
        "desc rect line",
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"\S+",
        "lang charset http-equiv content name id class type role scope value hidden href rel for tabindex autocomplete "
        "placeholder data-s data-t data-r aria-label aria-labelledby viewbox x y x1 x2 y1 y2 width height "
        "text-anchor",
    )
)


class Page(HTMLParser):
    """elements: (tag, attributes), in order. texts: tag → what is written in elements of that name."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.setdefault(tag, []).append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        for tag in dict.fromkeys(self.open):
            self.texts[tag][-1] += data

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data[:40]}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"<![{data[:40]}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"<?{data[:40]}")

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of that name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def csp(self) -> str:
        """Its Content-Security-Policy."""
        (found,) = [each["content"] for each in self.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
        return found

    def odd(self) -> list[str]:
        """What no page of ours has: other elements and attributes, places elsewhere, scripts without a hash."""
        found = [*self.wrong, *(f"open: {tag}" for tag in self.open)]
        for tag, attributes in self.elements:
            found += [] if tag in _TAGS else [f"<{tag}>"]
            found += [f"<{tag} {name}>" for name in attributes if name not in _ATTRIBUTES]
            link = attributes.get("href", "#")
            ours = re.fullmatch(r"(https://github\.com/keylease/keylease/blob/main/docs/rules\.md)?#[a-z0-9-]+|#", link)
            found += [] if ours else [f"href: {link[:80]}"]
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        found += [f"twice: {each}" for each in ids if ids.count(each) > 1]
        if len(self.of("style")) != 1 or len(self.of("script")) != 1:
            return [*found, "not one style and one script"]
        wanted = [
            f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(self.texts[tag][0].encode()).digest()).decode()}'"
            for tag in ("style", "script")
        ]
        if self.csp.split("; ") != ["default-src 'none'", *wanted, "base-uri 'none'", "form-action 'none'"]:
            found.append(self.csp)
        return found


def page(text: str) -> Page:
    """The page, parsed."""
    assert text.startswith("<!DOCTYPE html>")
    return Page(text)
