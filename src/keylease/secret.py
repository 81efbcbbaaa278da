"""The one container a secret value may live in."""

import hmac
from typing import Any, NoReturn


class Secret:
    """A secret value that can't be printed, formatted, compared to a plain string, copied to disk by pickle,
    or put in a set by accident.

    :meth:`reveal` and :meth:`reveal_bytes` are the only ways out; grep for them to audit every use.
    Make one through :meth:`keylease.masking.Masker.seal`, so that it is masked before anything else sees it.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # unhashable on purpose: a dict of secrets is a lookup oracle

    def __init__(self, value: str | bytes) -> None:
        if not isinstance(value, str | bytes):
            raise TypeError("a Secret holds str or bytes")
        self._value = value

    def reveal(self) -> str:
        """The value as text. Raises :class:`UnicodeDecodeError` with no value in it if it is not UTF-8."""
        if isinstance(self._value, bytes):
            try:
                return self._value.decode("utf-8")
            except UnicodeDecodeError:
                pass
            # Raised outside the handler: the decoder's own exception carries the whole value in `.object`, and
            # chaining would keep it.
            raise UnicodeDecodeError("utf-8", b"", 0, 0, "the secret is binary, not text")
        return self._value

    def reveal_bytes(self) -> bytes:
        """The value as bytes (text is encoded as UTF-8, lone surrogates kept as they came)."""
        return self._value.encode("utf-8", "surrogateescape") if isinstance(self._value, str) else self._value

    @property
    def is_text(self) -> bool:
        """Whether :meth:`reveal` can give text without NUL, i.e. whether it fits an environment variable."""
        try:
            text = self._value.decode("utf-8") if isinstance(self._value, bytes) else self._value
            text.encode("utf-8")
        except UnicodeError:
            return False
        return "\0" not in text

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal_bytes(), other.reveal_bytes())

    def __repr__(self) -> str:
        return "<Secret>"

    def __str__(self) -> NoReturn:
        raise TypeError("a Secret has no text form; call .reveal() where the value is really needed")

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a Secret can't be formatted; call .reveal() where the value is really needed")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can't be pickled or copied")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self
