"""Import `requests` and others without what this program never uses: a quarter of a lease's start-up otherwise.

    charset_normalizer  guesses the encoding of text; every answer we read is JSON, which is UTF-8 (RFC 8259 §8.1)
    urllib3.http2       asks importlib.metadata for the version of a package that is not installed
    certifi             finds its own file through importlib.resources and tempfile
    zipfile             is for certificates inside a zip archive: loaded if anybody ever asks for one
    idna                is for host names that are not ASCII: loaded for those

Each is out of the way only while `requests` is being imported, and only where that changes nothing but time:
whoever imports them later gets the real ones.
"""

import importlib
import importlib.util
import os
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_ENCODING_GUESSERS = ("chardet", "charset_normalizer")


@contextmanager
def lean_imports() -> Iterator[None]:
    """For the first import of `requests`; does nothing if it is there already."""
    if "requests" in sys.modules:
        yield
        return
    put: dict[str, types.ModuleType | None] = {}
    for name in _ENCODING_GUESSERS:
        if name not in sys.modules:
            put[name] = None
    if "urllib3" not in sys.modules:
        put |= _http2()
    if "certifi" not in sys.modules:
        put |= _certifi()
    put |= {name: _Later(name) for name in ("zipfile", "idna") if name not in sys.modules}
    sys.modules.update(put)  # type: ignore[arg-type]  # None there means: not to be found
    try:
        with warnings.catch_warnings():
            # requests warns that it can't guess encodings: that is the point.
            warnings.filterwarnings("ignore", message="Unable to find acceptable character detection dependency")
            yield
    finally:
        for name, module in put.items():
            if sys.modules.get(name, put) is module:
                del sys.modules[name]


def import_msgspec() -> None:
    """msgspec without typing_extensions, which it takes where it finds it and does not need: 8 ms."""
    name = "typing_extensions"
    if "msgspec" in sys.modules or name in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # not to be found
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules[name]


@contextmanager
def later(*names: str) -> Iterator[None]:
    """Modules imported meanwhile get these when they first use them, not when they import them."""
    put = {name: _Later(name) for name in names if name not in sys.modules}
    sys.modules.update(put)
    try:
        yield
    finally:
        for name, module in put.items():
            _take_out(name, module)


class _Later(types.ModuleType):
    """In a module's place for those who import it now; loads it when they use it.

    Not importlib's LazyLoader: the import statement itself looks at ``__spec__``, which makes that one load at once.
    """

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        # Another thread may use it while it still is where the real one will be.
        _take_out(self.__name__, self)
        return getattr(importlib.import_module(self.__name__), name)


_lock = threading.Lock()


def _take_out(name: str, module: types.ModuleType) -> None:
    with _lock:
        if sys.modules.get(name) is module:
            del sys.modules[name]


@contextmanager
def without_init(packages: Sequence[str]) -> Iterator[None]:
    """Import modules of `packages` (outermost first) without running the packages' own ``__init__``."""
    put: dict[str, types.ModuleType] = {}
    for package in packages:
        if package not in sys.modules:
            parent, _, name = package.rpartition(".")
            above = put.get(parent) or sys.modules.get(parent)
            places = [os.path.join(place, name) for place in above.__path__] if above else [_directory(package) or ""]
            put[package] = types.ModuleType(package)
            put[package].__path__ = places
    sys.modules.update(put)
    try:
        yield
    finally:
        for name, module in put.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _directory(package: str) -> str | None:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    return places[0] if len(places) == 1 else None


def _http2() -> dict[str, types.ModuleType | None]:
    """The package without its __init__, whose submodules are found all the same."""
    directory = _directory("urllib3")
    if directory is None:
        return {}
    module = types.ModuleType("urllib3.http2")
    module.__path__ = [os.path.join(directory, "http2")]
    return {"urllib3.http2": module}


def _certifi() -> dict[str, types.ModuleType | None]:
    directory = _directory("certifi")
    bundle = os.path.join(directory, "cacert.pem") if directory else ""
    if not os.path.isfile(bundle):
        return {}  # a distribution's own certifi may point elsewhere
    module = types.ModuleType("certifi")
    module.where = lambda: bundle  # type: ignore[attr-defined]
    return {"certifi": module}
