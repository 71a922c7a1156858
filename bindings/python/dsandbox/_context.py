# SPDX-License-Identifier: MIT
"""Carries the values of a `context` into a session, as code that runs there.

Values travel as literals where they have one, else pickled: pickles made by the caller are opened inside the sandbox
only, and nothing the sandbox made is ever opened here.
"""
import base64
import hashlib
import math
import pickle
from typing import Any, Dict, List, Mapping, Optional, Tuple

PICKLE_PROTOCOL = 4  # what Python 3.8 in a sandbox can read
DEPTH_MAX = 50
NOT_CARRIED = ("__builtins__", "__name__", "__doc__", "__file__", "__loader__", "__spec__", "__package__", "__cached__")

# A value is set when it is new or has changed since it was last given: what the code has made of a variable stays
# when the caller gives the same context again.
_LOADER = '''\
def __dsandbox_load(entries, names):
    import base64, builtins as b, pickle
    space = b.globals()
    known = space.setdefault("__dsandbox_context__", {})
    words = {"__builtins__": {}, "nan": b.float("nan"), "inf": b.float("inf"), "set": b.set,
             "frozenset": b.frozenset, "bytearray": b.bytearray}
    given = {}
    for key, name, digest, literal, pickled in entries:
        if name is not None and name in space and known.get(name) == digest:
            given[key] = space[name]
            continue
        try:
            value = b.eval(literal, words) if pickled is None else pickle.loads(base64.b64decode(pickled))
        except b.Exception as error:
            b.print("{}: {}: {}".format(key, b.type(error).__name__, error))
            continue
        given[key] = value
        if name is not None:
            space[name] = value
            known[name] = digest
    if "context" not in names:
        space["context"] = given
try:
    __dsandbox_load(ENTRIES, NAMES)
finally:
    del __dsandbox_load
'''


def literal(value: Any, depth: int = 0) -> Optional[str]:
    """Source that evaluates to an equal value of the same type; None when there is none."""
    kind = type(value)
    if depth > DEPTH_MAX:
        return None
    if value is None or kind in (bool, int, str, bytes):
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if kind is bytearray:
        return f"bytearray({bytes(value)!r})"
    if kind in (list, tuple, set, frozenset):
        return _items(value, kind, depth)
    if kind is dict:
        pairs = [(literal(key, depth + 1), literal(item, depth + 1)) for key, item in value.items()]
        texts = [f"{key}: {item}" for key, item in pairs if key is not None and item is not None]
        return "{" + ", ".join(texts) + "}" if len(texts) == len(pairs) else None
    return None


def _items(value: Any, kind: type, depth: int) -> Optional[str]:
    found = [literal(item, depth + 1) for item in value]
    texts = [text for text in found if text is not None]
    if len(texts) != len(found):
        return None
    inner = ", ".join(texts)
    if kind is list:
        return f"[{inner}]"
    if kind is tuple:
        return f"({inner},)" if texts else "()"
    return f"{kind.__name__}([{', '.join(sorted(texts))}])"


def _encode(value: Any) -> Tuple[Optional[str], Optional[str]]:
    text = literal(value)
    if text is not None:
        return text, None
    return None, base64.b64encode(pickle.dumps(value, PICKLE_PROTOCOL)).decode("ascii")


def loader(context: Mapping[Any, Any]) -> Tuple[str, Dict[str, str]]:
    """Code that sets the context's variables in a session, and why some values cannot be carried, by name."""
    entries: List[Tuple[Any, Optional[str], str, Optional[str], Optional[str]]] = []
    problems: Dict[str, str] = {}
    for key, value in context.items():
        if key in NOT_CARRIED:
            continue
        if not isinstance(key, (str, int, float, bool, bytes, type(None))):
            problems[repr(key)] = "only text can name a variable"
            continue
        try:
            text, pickled = _encode(value)
        except Exception as error:  # pickling runs the value's own code
            problems[str(key)] = f"cannot be pickled: {type(error).__name__}: {error}"
            continue
        digest = hashlib.sha256((text or pickled or "").encode("utf-8", "surrogatepass")).hexdigest()
        entries.append((key, key if isinstance(key, str) else None, digest, text, pickled))
    names = [entry[1] for entry in entries if entry[1] is not None]
    return _LOADER.replace("(ENTRIES, NAMES)", f"({entries!r}, {names!r})"), problems
