"""Reports of syncs: what people and machines read of them, and what foreign names can't do there."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.outputs.console import sanitize
from keylease.outputs.sync_report import MAX_MARKDOWN, MAX_ROWS, Report, Section, as_json, as_markdown, as_table
from keylease.sync.model import Action, Change, Effect, Slot

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs/sync-plan.schema.json").read_text(encoding="utf-8"))
PLACE = "github://acme/trainer"


def change(
    name: str = "A", action: Action = "add", effect: Effect = "write", reason: str = "why", **more: str
) -> Change:
    slot = Slot("secret", name, more.pop("scope", ""))
    return Change(slot, action, effect, reason, more.get("source", "vault://kv/a#b"), more.get("version", "3"))


def report(*changes: Change, **more: Any) -> Report:
    return Report([Section("one", PLACE, changes, fingerprint="f" * 64)], **more)


MANY = report(
    change("A"),
    change("B", "update", scope="production"),
    change("C", "unchanged", "none", ""),
    change("D", "adopt", "record"),
    change("E", "orphan", "delete", version=""),
    change("F", "drifted", "none"),
    change("G", "blocked", "none"),
    change("H", "orphan", "forget", version="0123456789abcdef"),
)


def strict(schema: Any) -> Any:
    """The schema with no room for more: what we write must be described."""
    if isinstance(schema, dict):
        found = {key: strict(value) for key, value in schema.items()}
        return found | ({"additionalProperties": False} if schema.get("type") == "object" else {})
    return [strict(each) for each in schema] if isinstance(schema, list) else schema


# JSON.


def test_the_schema_is_one_and_describes_everything() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def bare(part: Any, at: str) -> list[str]:
        found = [at] if at and "description" not in part and at.rsplit(".", 1)[-1] != "[]" else []
        for name, inner in part.get("properties", {}).items():
            found += bare(inner, f"{at}.{name}")
        return found + (bare(part["items"], f"{at}.[]") if isinstance(part.get("items"), dict) else [])

    assert bare(SCHEMA, "") == []


@pytest.mark.parametrize(
    "made",
    [
        MANY,
        Report([]),
        report(),
        Report([Section("one", PLACE, [], "it could not be listed")], ["a problem"], (2, 4), ["X"], ["one"]),
    ],
)
def test_a_plan_is_as_the_schema_says(made: Report) -> None:
    jsonschema.Draft202012Validator(strict(SCHEMA)).validate(json.loads(json.dumps(as_json(made))))


@pytest.mark.parametrize("key", ["format", "places", "shard", "summary"])
def test_the_schema_misses_nothing(key: str) -> None:
    whole = as_json(MANY)
    del whole[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(whole)


def test_the_actions_are_those_of_the_model() -> None:
    item = SCHEMA["properties"]["places"]["items"]["properties"]["changes"]["items"]["properties"]
    assert set(item["action"]["enum"]) == set(Action.__args__) == set(SCHEMA["properties"]["summary"]["properties"])  # type: ignore[attr-defined]
    assert set(item["effect"]["enum"]) == set(Effect.__args__)  # type: ignore[attr-defined]


def test_numbers() -> None:
    assert as_json(MANY)["summary"] == {
        "add": 1, "update": 1, "adopt": 1, "drifted": 1, "orphan": 2, "blocked": 1, "unchanged": 1
    }  # fmt: skip
    assert (
        MANY.summary()
        == "1 add, 1 update, 1 adopt, 1 drifted, 2 orphan (1 to delete), 1 blocked, 1 unchanged at 1 place"
    )
    assert Report([]).summary() == "nothing at 0 places"
    both = Report([Section("one", PLACE, []), Section("two", PLACE, [], "x")], ["y"])
    assert both.summary() == "nothing at 1 place; 2 could not be read"


# The table.


def test_a_table_for_people() -> None:
    text = as_table(MANY, colour=False)
    lines = text.splitlines()
    assert lines[0] == f"{PLACE}  (sync one)"
    assert lines[1].split() == ["Kind", "Name", "Source", "Version", "Why"]
    assert "B (production)" in text
    assert "delete: why" in text
    assert "forget: why" in text
    assert "01234567…" in text
    assert "  1 unchanged\n" in text
    assert " C " not in text
    assert lines[-1] == MANY.summary()
    assert " C " in as_table(MANY, colour=False, everything=True)


def test_a_long_reason_is_whole() -> None:
    reason = "because " * 60
    assert reason.strip() in as_table(report(change(reason=reason)), colour=False)


def test_what_is_unchanged_takes_no_room() -> None:
    quiet = [Section("one", f"{PLACE}{n}", [change(action="unchanged", effect="none")]) for n in range(3)]
    assert as_table(Report(quiet), colour=False) == "3 unchanged at 3 places\n"
    assert as_table(Report(quiet), colour=False, everything=True).count("unchanged") == 4
    broken = Report([*quiet, Section("one", "b", [], "it could not be listed")], ["and a problem"])
    text = as_table(broken, colour=False)
    assert "it could not be listed" in text
    assert "and a problem" in text


def test_colours_are_of_the_action_alone() -> None:
    text = as_table(report(change("add", "add", reason="add")), colour=True)
    assert text.count("\x1b[32madd\x1b[0m") == 1
    assert text.count("\x1b") == 2
    assert "\x1b" not in as_table(MANY, colour=False)


HOSTILE = "x\n::error::y\r\x1b[2J\u202e##[error]z|`<b>&[a](https://e.example)"


def test_foreign_names_do_nothing_in_a_log() -> None:
    bad = Report(
        [Section(HOSTILE, HOSTILE, [change(HOSTILE, reason=HOSTILE, source=HOSTILE, scope=HOSTILE)], HOSTILE)],
        [HOSTILE],
    )
    text = as_table(bad, colour=False)
    assert text == sanitize(text)
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_foreign_names_do_nothing_in_a_comment() -> None:
    bad = Report([Section(HOSTILE, HOSTILE, [change(HOSTILE, reason=HOSTILE, source=HOSTILE)], HOSTILE)], [HOSTILE])
    text = as_markdown(bad, HOSTILE)
    for harm in ("<b>", "`", "](", "https://e", "\x1b", "\r", "\u202e"):
        assert harm not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| ") and "error" in line]
    assert row.count("|") == 6


def test_every_environment_is_not_worth_a_word() -> None:
    text = as_table(report(change("A", scope="*"), change("B", scope="prod")), colour=False)
    assert "*" not in text
    assert "B (prod)" in text


def test_what_would_be_deleted_is_said_everywhere() -> None:
    kept = report(change("A", "orphan", "none"))
    assert kept.summary() == "1 orphan at 1 place"
    for text in (as_table(MANY, colour=False), as_markdown(MANY)):
        assert "delete: why" in text
        assert "forget: why" in text
        assert "1 to delete" in text


# Markdown.


def test_markdown_for_a_comment() -> None:
    text = as_markdown(MANY)
    assert text.startswith("### Keylease sync\n\n1 add")
    assert text.count("\n| ") == 9, "heading, line, and all that is not unchanged"
    assert (
        as_markdown(report(change(action="unchanged", effect="none")))
        == "### Keylease sync\n\n1 unchanged at 1 place\n"
    )


@given(st.integers(0, 900), st.integers(0, 300), st.integers(0, 400))
def test_a_comment_is_never_too_long(rows: int, length: int, problems: int) -> None:
    section = Section("one", PLACE, [change(f"N{n}", reason="é*" * length) for n in range(rows)])
    text = as_markdown(Report([section], ["*" * length] * problems))
    assert len(text) <= MAX_MARKDOWN
    shown = text.count("\n| ") - 2 if rows else 0
    assert shown <= MAX_ROWS
    assert (f"… and {rows - shown} more" in text) == (shown < rows)


def test_the_summary_of_an_apply_names_what_was_not_done() -> None:
    text = as_markdown(MANY, undone=["github://acme/trainer: secret A|B: refused", *(f"no. {n}" for n in range(9000))])
    head, _, rest = text.partition("**Not done: 9001**")
    assert "| Place | Action |" in head
    assert "- github&#58;//acme/trainer: secret A&#124;B: refused" in rest
    assert rest.rstrip().endswith("more")
    assert len(text) <= 65_536
    assert "Not done" not in as_markdown(MANY)
