# SPDX-License-Identifier: MIT
"""What an editor asks of a session: names that could stand at a place in code, and what is known of the one that does.

kernel.py loads this file when it is asked; its names are here as well.  To look runs methods of the program's, properties and
__dir__: that happens in a copy of the interpreter, so whatever they print, change or break is the copy's alone, and in the end
the copy is killed.  Of what it says no more is taken than there is room for.
"""
clock = monotonic

LOOK_SECONDS = 2.0  # for one question, and of a processor
CODE_MAX = 8192  # characters before the place that are looked at
MATCHES_MAX = 1000
MATCH_MAX = 200
DOC_MAX = 16 * 1024
SOURCE_MAX = 32 * 1024
FORM_MAX = 500
MODULES_MAX = 5000
SIZE = struct.Struct("<Q")
CLOSES = {")": "(", "]": "[", "}": "{"}
NOTHING = object()


def in_copy(step):
    """The text that step() gives in a copy, or None: there was none in time."""
    copies, end = part("figures.py"), clock() + LOOK_SECONDS

    def tell(sock):
        data = step().encode("utf-8", "replace")[: 4 * TEXT_MAX]
        sock.sendall(SIZE.pack(len(data)) + data)

    try:
        copy = copies["Copy"](tell, LOOK_SECONDS)
    except OSError:
        return None
    try:
        size = SIZE.unpack(copy.receive(SIZE.size, end))[0]
        return copy.receive(size, end).decode("utf-8", "replace") if size <= 4 * TEXT_MAX else None
    except (OSError, ValueError):
        return None
    finally:
        copy.end(0)


def place_of(request):
    """The code, and a place in it: characters from its beginning."""
    code, cursor = request.get("code", ""), request.get("cursor", "")
    at = int(cursor) if cursor.isdigit() and len(cursor) < 10 else len(code)
    return code, min(at, len(code))


def is_part(character):
    return ("a" + character).isidentifier()


def begin_of(text, dots):
    """Where the name begins that the text ends with; with its dots, if they count."""
    at = len(text)
    while at and (is_part(text[at - 1]) or (dots and text[at - 1] == ".")):
        at -= 1
    return at


def call_around(text):
    """The text up to the bracket of the call that its end is in, or None."""
    closed = []
    for at in range(len(text) - 1, -1, -1):
        character = text[at]
        if character in CLOSES:
            closed.append(CLOSES[character])
        elif character in "([{":
            if closed:
                if closed.pop() != character:
                    return None
            elif character == "(" and text[:at].rstrip(" ")[-1:] and is_part(text[:at].rstrip(" ")[-1]):
                return text[:at].rstrip(" ")
    return None


# --- in the copy


def find(namespace, dotted):
    """What a name with dots stands for, or NOTHING."""
    first, *rest = dotted.split(".")
    value = namespace.get(first, getattr(builtins, first, NOTHING) if first else NOTHING)
    for name in rest:
        try:
            value = getattr(value, name) if value is not NOTHING and name else NOTHING
        except Exception:
            return NOTHING
    return value


def attributes(value):
    try:
        return dir(value)
    except TypeError:  # it cannot be sorted
        return type(value).__dir__(value)


def module_names(parent):
    """Of modules that could be imported; below a package only where that is imported."""
    path = getattr(sys.modules.get(parent), "__path__", ()) if parent else sys.path
    names = set() if parent else set(sys.builtin_module_names)
    for found in library("pkgutil").iter_modules([str(each) for each in path]):
        names.add(found.name)
        if len(names) >= MODULES_MAX:
            break
    return names


def imported(line, prefix):
    """The names that could stand in a line that imports, or None: it does not."""
    words = line[: len(line) - len(prefix)].replace(",", " ").replace("(", " ").split()
    if words[:1] == ["from"] and "import" in words[2:3]:
        module = sys.modules.get(words[1])
        return {*(() if module is None else attributes(module)), *module_names(words[1])}
    if words[:1] == ["import"] or words[:1] == ["from"] and (words == ["from"] or words[-1].endswith(".")):
        return module_names(words[-1][:-1] if words[-1].endswith(".") else "")
    return None


def arguments(namespace, text):
    """Those that the call at the end of the text takes by name."""
    call = call_around(text)
    value = find(namespace, call[begin_of(call, True) :]) if call else NOTHING
    if value is NOTHING:
        return []
    try:
        known = library("inspect").signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each.name + "=" for each in known if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]


def candidates(namespace, before, prefix):
    """All names that may stand where the prefix is."""
    ahead = before[: len(before) - len(prefix)]
    names = imported(before.rpartition("\n")[2].rpartition(";")[2], prefix)
    if names is not None:
        return names
    if ahead.endswith("."):
        value = find(namespace, ahead[begin_of(ahead, True) : -1])
        return () if value is NOTHING else attributes(value)
    keywords = library("keyword").kwlist
    return [*arguments(namespace, ahead), *namespace, *dir(builtins), *keywords]


def matches(namespace, before, prefix):
    """Each on a line: those without a _ in front first."""
    found = {name for name in candidates(namespace, before, prefix) if type(name) is str and name.startswith(prefix)}
    found = [name for name in found if len(name) <= MATCH_MAX and name.rstrip("=").isidentifier() and (prefix or name[0] != "_")]
    found.sort(key=lambda name: (name.endswith("=") is False, name.startswith("_"), name.lower(), name))
    return "\n".join(found[: MATCHES_MAX + 1])


def keys(namespace, name, prefix):
    """Of a dictionary, a table and whatever else has keys that are texts."""
    value = find(namespace, name)
    names = value.keys() if hasattr(type(value), "keys") else ()
    found = []
    for each in names:
        if type(each) is str and each.startswith(prefix) and len(each) <= MATCH_MAX and each.isprintable() and not set(each) & set("\"'\\"):
            found.append(each)
        if len(found) > MATCHES_MAX:
            break
    return "\n".join(found)


def told(step):
    """Of one attribute of a value, or nothing."""
    try:
        return step() or ""
    except Exception:
        return ""


def description(namespace, name, detail):
    value = find(namespace, name)
    if value is NOTHING:
        return ""
    inspect, kind = library("inspect"), type(value)
    lines = []
    if callable(value):
        lines.append(told(lambda: "Signature: %s%s" % (name, inspect.signature(value))))
    lines.append("Type: %s" % kind.__name__)
    if not callable(value) and kind is not type(sys):
        lines.append("String form: %s" % text_of(part("display.py")["plain_text"](value), FORM_MAX))
    if hasattr(value, "__len__") and not isinstance(value, type):
        lines.append(told(lambda: "Length: %d" % len(value)))
    source = told(lambda: inspect.getsource(value)) if detail else ""
    if source:
        lines.append("Source:\n" + text_of(source, SOURCE_MAX))
    lines.append(told(lambda: "Docstring:\n" + text_of(inspect.getdoc(value), DOC_MAX) if inspect.getdoc(value) else ""))
    return "\n".join([line for line in lines if line])


# --- what is asked


def key_place(before):
    """(name, the beginning of a key) where the text ends in a key between quotes."""
    for quote in "\"'":
        head, found, prefix = before.rpartition("[" + quote)
        if found and not set(prefix) & set("\"'\\]\n") and head and is_part(head[-1]):
            return head[begin_of(head, True) :], prefix
    return None


def complete(namespace, request):
    code, cursor = place_of(request)
    before = code[max(0, cursor - CODE_MAX) : cursor]
    key = key_place(before)
    prefix = key[1] if key else before[begin_of(before, False) :]
    if key:
        text = in_copy(lambda: keys(namespace, key[0], prefix))
    else:
        nowhere = prefix[:1].isdigit() or not prefix and before.endswith(tuple(")]}\"'"))
        text = "" if nowhere else in_copy(lambda: matches(namespace, before, prefix))
    found = [text_of(name, MATCH_MAX + 1) for name in (text or "").split("\n") if name]
    return {
        "matches": found[:MATCHES_MAX],
        "start": cursor - len(prefix),
        "end": cursor,
        "truncated": len(found) > MATCHES_MAX or text is None,
    }


def inspection(namespace, request):
    code, cursor = place_of(request)
    before, end = code[max(0, cursor - CODE_MAX) : cursor], cursor
    while end < len(code) and end - cursor < MATCH_MAX and is_part(code[end]):
        end += 1
    name = before[begin_of(before, True) :] + code[cursor:end]
    call = call_around(before) or ""
    outer, detail = call[begin_of(call, True) :], request.get("detail") == "1"
    text = in_copy(lambda: description(namespace, name, detail) or description(namespace, outer, detail))
    return {"found": bool(text), "text": text_of(text or "")}
