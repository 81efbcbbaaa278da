"""Shell scripts as far as rules need them: which commands print a variable. Nothing is run, and nothing is sure.

Known are quotes, comments, pipes, redirections, here-documents and command substitutions (whose output is not the
log's). Whatever else a shell can do is taken for no printing.
"""

import re
from collections.abc import Collection, Iterator

from msgspec import Struct

_PRINTING = {"echo", "printf", "printenv"}
_CHANGING = {"base64", "rev", "xxd", "od", "hexdump", "fold", "cut", "head", "tail", "tr", "sed", "gzip", "base32"}
_PASSING = {"cat", "tee", "sort"}
_LISTING = re.compile(r"(?:env|printenv|export(?:\s+-p)?|declare\s+-[px]+)(?:\s+-0)?")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_][\w]*)\1")
_TO_FILE = re.compile(r"(?<![<&])(?:[12]|&)?>>?(?!&[12]|\s*/dev/std(?:out|err)\b)")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*+(?:\"|\Z)|'[^']*(?:'|\Z)", re.DOTALL)
_PART = re.compile(r"\$\{(\w+)(:\s*\d|:\s*-|:\(|%|#|/|\^|,)")
_PLAIN = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?[-?=][^}]{0,300})?\})")


class Printed(Struct, frozen=True):
    """A command that prints `variable`. how: what changes the text; empty: nothing. line: of the script, from 0."""

    how: str
    variable: str
    line: int
    sure: bool = True
    number: int = 0


def printed(script: str, variables: Collection[str]) -> Iterator[Printed]:
    """Commands of a POSIX shell or bash that print one of `variables`."""
    seen: dict[tuple[str, str], int] = {}
    for line, pipeline in _pipelines(script):
        words = pipeline[0].split()
        if not words or words[0] not in _PRINTING or "::add-mask::" in pipeline[0] or not _ends_in_log(pipeline):
            continue
        programs = _programs(pipeline)
        decoding = any(re.search(r"\s(?:-d|-D|--decode|-r)\b", each) for each in pipeline[1:])
        changed = next((name for name in programs if name in _CHANGING), "")
        named = {each for each in words[1:] if each in variables} if words[0] == "printenv" else set()
        expanded = _expanded(pipeline[0], variables) if words[0] != "printenv" else ((each, False) for each in named)
        for variable, part in expanded:
            how = "a part of it" if part else f"through {changed}" if changed else ""
            count = seen[variable, how] = seen.get((variable, how), -1) + 1
            yield Printed(
                how, variable, line, not decoding and changed not in ("tr", "sed", "head", "tail", "fold"), count
            )


def _programs(pipeline: list[str]) -> list[str]:
    return [each.split()[0] if each.split() else "" for each in pipeline[1:]]


def _ends_in_log(pipeline: list[str]) -> bool:
    if any(name not in _CHANGING | _PASSING for name in _programs(pipeline)):
        return False
    return not any(_TO_FILE.search(_bare(each)) for each in pipeline)


def listed(script: str) -> int:
    """The line, from 0, of the first command that prints all variables; -1: none."""
    for line, pipeline in _pipelines(script):
        if _LISTING.fullmatch(pipeline[0]) and _ends_in_log(pipeline):
            return line
    return -1


def traced(script: str) -> int:
    """The line, from 0, where ``set -x`` begins to trace; -1: nowhere."""
    for line, pipeline in _pipelines(script):
        if re.match(r"set\s+(?:-[a-wyz]*x|-o\s+xtrace)", pipeline[0]):
            return line
    return -1


def _expanded(command: str, variables: Collection[str]) -> Iterator[tuple[str, bool]]:
    text = re.sub(r"\\.", "", _unquoted_single(command))
    parts = {found[1] for found in _PART.finditer(text)}
    plain = {found[1] or found[2] for found in _PLAIN.finditer(text)}
    for variable in sorted(parts | plain):
        if variable in variables:
            yield variable, variable in parts


def _unquoted_single(command: str) -> str:
    """`command` without what stands in single quotes, in which nothing is expanded."""
    return _QUOTED.sub(lambda found: "" if found[0][0] == "'" else found[0], command)


def _bare(command: str) -> str:
    """`command` without what stands in quotes."""
    return _QUOTED.sub("q", command)


def _pipelines(script: str) -> Iterator[tuple[int, list[str]]]:
    """Each pipeline's commands, and its line from 0."""
    text = _without_heredocs(script)
    commands: list[str] = []
    current, line, start = "", 0, 0
    position, depth, quote = 0, 0, ""
    while position < len(text):
        sign, two = text[position], text[position : position + 2]
        line += sign == "\n"
        if sign == "\\" and quote != "'":
            line += two == "\\\n"
            current += " " if two == "\\\n" else two
            position += 2
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "#" and (not current or current[-1] in " \t"):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        if sign == "(" and quote != "'" and (not quote or current.endswith("$")):
            depth += 1
        elif sign == ")" and quote != "'" and depth:
            depth -= 1
        elif (
            not quote
            and not depth
            and (sign in ";\n" or two in ("&&", "||") or (sign == "&" and _background(text, position)))
        ):
            if current.strip() or commands:
                yield start, [*commands, current.strip()]
            commands, current, start = [], "", line
            position += 2 if two in ("&&", "||") else 1
            continue
        elif sign == "|" and not quote and not depth:
            commands.append(current.strip())
            current = ""
            position += 2 if two == "|&" else 1
            continue
        current += sign
        position += 1
    if current.strip() or commands:
        yield start, [*commands, current.strip()]


def _background(text: str, position: int) -> bool:
    return text[position - 1 : position] not in (">", "<") and text[position + 1 : position + 2] != ">"


def _without_heredocs(script: str) -> str:
    """`script` with the bodies of here-documents emptied; lines stay where they are."""
    lines: list[str] = []
    ends: list[str] = []
    for line in script.split("\n"):
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            lines.append("")
            continue
        ends = [found[2] for found in _HEREDOC.finditer(line) if line[found.start() - 1 : found.start()] != "<"]
        lines.append(line)
    return "\n".join(lines)
