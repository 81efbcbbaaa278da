"""How other CI systems hide a secret that they were told, for comparison.

Each is written from the behaviour of the source that it names, in as few lines as the rule needs; none shares code with
Keylease. They can't show: which values each system takes in at all (GitLab refuses values with spaces or line breaks
and shorter than eight characters; Buildkite takes variables by their name; Jenkins only what `withCredentials` binds),
GitLab's rules for token prefixes and URL parameters, or other versions than those read in 2026.
"""

import base64
import re


def gitlab(secret: str, log: str) -> str:
    """gitlab-org/gitlab-runner, common/buildlogger/internal/masker/masker.go: the value itself.

    A failed match starts again at the byte that failed, and not at the second byte of what had matched.
    """
    phrase, out, matched = secret.strip(), "", 0
    for c in log:
        if c == phrase[matched]:
            matched += 1
            if matched == len(phrase):
                out, matched = out + "[MASKED]", 0
            continue
        out += phrase[:matched]
        matched = 1 if c == phrase[0] else 0
        if not matched:
            out += c
    return out + phrase[:matched]


def jenkins(secret: str, log: str) -> str:
    """jenkinsci/credentials-binding-plugin, masking/*SecretPatternFactory.java and SecretPatterns.java.

    One regular expression of all forms of at least three characters, longest first, on each line by itself: a form with
    a line break never matches.
    """
    forms = {secret, secret.replace("'", "'\\''"), f"'{secret.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"}
    forms |= {re.sub(r"\\(\\?)", r"\1", secret), re.sub(r"\^(\^?)", r"\1", secret), secret.replace("$", "$$")}
    forms.add(re.sub("'+", lambda run: f"'\"{run[0]}\"'", secret))
    for shift in range(3):
        for altchars in (b"+/", b"-_"):
            encoded = base64.b64encode(b"a" * shift + secret.encode(), altchars).decode()[2 * shift :]
            padding = len(encoded) - len(encoded.rstrip("="))
            forms |= {encoded, encoded[: len(encoded) - padding - 1] if padding else encoded}
    usable = sorted((form for form in forms if len(form) >= 3), key=lambda form: (-len(form), form))
    pattern = re.compile("|".join(map(re.escape, usable)))
    return "".join(pattern.sub("****", line) for line in log.splitlines(keepends=True))


def buildkite(secret: str, log: str) -> str:
    """buildkite/agent, internal/redact/redact.go and internal/replacer/replacer.go: the value and Go's `%q` of it, from
    six bytes on; a line break in it stands for any white space. Overlapping hits become one.
    """
    if len(secret.encode()) < 6:
        return log
    hidden = [False] * len(log)
    for needle in {secret, _go_quoted(secret)}:
        lines = [line.strip() for line in needle.split("\n")]
        pattern = r"\s+".join(re.escape(line) for line in lines if line)
        for hit in re.finditer(f"(?=({pattern}))", log):
            hidden[hit.start(1) : hit.end(1)] = [True] * (hit.end(1) - hit.start(1))
    out = ""
    for at, c in enumerate(log):
        if not hidden[at]:
            out += c
        elif at == 0 or not hidden[at - 1]:
            out += "[REDACTED]"
    return out


def _go_quoted(text: str) -> str:
    short = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
             '"': '\\"', "\\": "\\\\"}  # fmt: skip
    return "".join(short.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text)
