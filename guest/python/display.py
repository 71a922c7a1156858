# SPDX-License-Identifier: MIT
"""What an execution shows: values and figures as MIME bundles, in their order and within the room of the report.

kernel.py loads this file when something is shown; its names are here as well.
"""
IMAGE_MAX = 4 * 1024 * 1024  # of one value: half of the report, see Shown
TYPES_MAX = 32
DEPTH_MAX = 28  # of a displayed JSON value, the last value may have one more: the host takes no report that is deeper
MEMBERS_MAX = 16384  # of one object, and items of all values of one execution: the host's bounds, with some air
ITEMS_MAX = 150000
DRAWN_AGAIN = ("image/png", "image/jpeg", "image/webp")
REPR_SECONDS = 1.0
TAIL_ROOM = 1024 * 1024  # of the report, for the last value, the error and the variables

clock = monotonic
type_mro = type.__dict__["__mro__"].__get__

RICH = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
)
KNOWN = frozenset([method for method, _ in RICH] + ["_repr_mimebundle_", "_ipython_display_"])


class LeftOut(Exception):
    """Why a value of a bundle is not in the result."""


# --- text


class Enough(Exception):
    pass


class Text:
    """repr() as far as there is room and time: of a big container the beginning."""

    BRACKETS = {list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})"), dict: "{}"}

    def __init__(self):
        self.parts = []
        self.room = TEXT_MAX
        self.until = clock() + REPR_SECONDS
        self.open = set()

    def add(self, text):
        self.parts.append(text)
        self.room -= len(text)
        if self.room < 0 or clock() > self.until:
            raise Enough

    def write(self, value):
        kind = type(value)
        if kind in self.BRACKETS and value and len(self.open) < 100:
            self.container(value, self.BRACKETS[kind])
        elif (kind is str or kind is bytes) and len(value) > self.room:
            self.add(repr(value[: self.room + 1]))
        else:
            self.add(repr(value))

    def container(self, value, brackets):
        if id(value) in self.open:
            self.add("...".join(brackets))
            return
        self.open.add(id(value))
        self.add(brackets[0])
        first = True
        for member in value:
            if not first:
                self.add(", ")
            first = False
            self.write(member)
            if type(value) is dict:
                self.add(": ")
                self.write(value[member])
        self.add("," + brackets[1] if type(value) is tuple and len(value) == 1 else brackets[1])
        self.open.discard(id(value))


def plain_text(value):
    text = Text()
    try:
        text.write(value)
    except Enough:
        if text.room >= 0:
            text.parts.append("\u2026")
    except Exception as e:
        return "<%s object: repr() raised %s>" % (type(value).__name__, type(e).__name__)
    return text_of("".join(text.parts))


# --- bundles


def is_json_type(mime):
    return mime == "application/json" or mime.endswith("+json")


def check_json(value, deepest):
    """What a careful reader would refuse costs only itself, not the whole report."""
    left, queue = ITEMS_MAX, [(value, deepest)]
    while queue:
        value, depth = queue.pop()
        if not isinstance(value, (list, tuple, dict)):
            continue
        left -= len(value)
        if depth == 0 or left < 0 or (isinstance(value, dict) and len(value) > MEMBERS_MAX):
            raise LeftOut("a JSON value is nested too deeply or has too many members")
        queue += [(member, depth - 1) for member in (value.values() if isinstance(value, dict) else value)]
    return ITEMS_MAX - left


def entry(mime, value, deepest=DEPTH_MAX):
    """One value of a MIME bundle, or None when there is none."""
    if value is None:
        return None
    if is_json_type(mime):
        check_json(value, deepest)
        value = Raw(library("json").dumps(value, allow_nan=False))
        size = len(value.text)
    elif isinstance(value, (bytes, bytearray)):
        if not mime.startswith("image/") and mime != "application/pdf":
            return None
        size = len(value)
        value = library("binascii").b2a_base64(value, newline=False).decode() if size <= IMAGE_MAX else ""
    elif isinstance(value, str):
        size = len(value)
        value = text_of(value, IMAGE_MAX) if size <= IMAGE_MAX else ""
    else:
        return None
    if size > IMAGE_MAX:
        raise LeftOut("a value of type %s has more than %d MiB" % (mime, IMAGE_MAX >> 20))
    return value


def methods_of(value):
    """The names of KNOWN that the type has.  The object itself is not asked: one with a __getattr__ has every name."""
    found = set()
    for base in type_mro(type(value)):
        found.update(KNOWN.intersection(base.__dict__))
    return found


def call(value, method):
    """What the method gives, without the metadata that may come along; None: nothing."""
    try:
        made = getattr(value, method)
        made = made(include=None, exclude=None) if method == "_repr_mimebundle_" else made()
    except Exception:
        return None
    return made[0] if isinstance(made, tuple) and made else made


def bundle(value, shown=None, raw=False, deepest=DEPTH_MAX):
    """The MIME bundle of a value; shown, if any, counts what is too big."""
    data, types, left_out, big = {}, {}, [], None
    known = frozenset() if raw or isinstance(value, type) else methods_of(value)
    if raw or "_repr_mimebundle_" in known:
        made = value if raw else call(value, "_repr_mimebundle_")
        if isinstance(made, dict):
            types = {k: v for k, v in made.items() if isinstance(k, str) and "/" in k}
    for method, mime in RICH:
        if method in known and mime not in types:
            types[mime] = call(value, method)
    if types.get("text/plain") is None:
        data["text/plain"] = "" if raw else plain_text(value)
    for mime, made in list(types.items())[: TYPES_MAX - 1]:
        try:
            made = entry(mime, made, deepest)
            if shown and is_json_type(mime):
                shown.take_items(types[mime])
        except LeftOut as e:
            left_out.append(str(e))
            big = types[mime] if mime in DRAWN_AGAIN and isinstance(types[mime], bytes) else big
            continue
        except Exception:
            continue
        if made is not None:
            data[mime] = made
    if shown and big and not any([mime.startswith("image/") for mime in data]):
        made = shown.paint().smaller(big)
        if made:
            data["image/png"] = made["image/png"]
            data["text/plain"] = data.get("text/plain", "") + made["text/plain"]
            left_out.clear()
    for why in left_out if shown else ():
        shown.leave_out(why)
    return data


# --- what one execution shows


class Shown:
    """Entries are ready JSON in the order in which they were shown; what does not fit is counted with the reason."""

    def __init__(self, execution, room):
        global IMAGE_MAX
        IMAGE_MAX = (room + 16) // 2
        self.execution = execution
        self.room = max(0, room - TAIL_ROOM)
        self.entries = []
        self.items = ITEMS_MAX
        self.places = {}  # display_id: where it stands
        self.omitted = {}
        self.painter = None

    def leave_out(self, reason, count=1):
        if reason in self.omitted or len(self.omitted) < 20:
            self.omitted[reason] = self.omitted.get(reason, 0) + count

    def take_items(self, value):
        self.items -= check_json(value, DEPTH_MAX + 1)
        if self.items < 0:
            raise LeftOut("the JSON values have too many members")

    def paint(self):
        if self.painter is None:
            self.painter = part("figures.py")["Painter"](self)
        return self.painter

    def add(self, data, key=None):
        """A bundle, or one that is JSON already."""
        text = data if isinstance(data, str) else encode(data)
        if len(self.entries) >= DISPLAYS_MAX:
            self.leave_out("more than %d are shown" % DISPLAYS_MAX)
            return
        if len(text) > self.room and not isinstance(data, str):
            self.leave_out("there is no room left in the result")
            text = encode({"text/plain": data.get("text/plain", "")})
        if len(text) > self.room:
            return
        self.room -= len(text)
        if key is None or key not in self.places:
            if key is not None:
                self.places[key] = len(self.entries)
            self.entries.append(text)
        else:
            self.room += len(self.entries[self.places[key]])
            self.entries[self.places[key]] = text

    def show(self, value, raw=False, key=None):
        """One object of display()."""
        if not raw and is_figure(value):
            self.paint().show([value])
        elif not raw and not isinstance(value, type) and "_ipython_display_" in methods_of(value):
            call(value, "_ipython_display_")
        else:
            self.add(bundle(value, self, raw), key)

    def value(self, value):
        """The bundle of the last value, or None when it has shown itself."""
        if is_figure(value):
            return self.paint().value(value)
        if not isinstance(value, type) and "_ipython_display_" in methods_of(value):
            call(value, "_ipython_display_")
            return None
        return bundle(value, self, deepest=DEPTH_MAX + 1)

    def clear(self):
        self.room += sum([len(text) for text in self.entries])
        self.entries, self.places = [], {}

    def finish(self):
        """The figures that are still open when the code is over."""
        if "matplotlib._pylab_helpers" in sys.modules:
            try:
                self.paint().finish()
            except Exception as e:
                self.leave_out("figures could not be drawn: %s" % type(e).__name__)

    def forget(self):
        """The same without pictures: there is no time left."""
        part("figures.py")["forget"](part("figures.py")["managers"]())

    def close(self):
        """Nothing refers to figures any longer."""
        if self.painter is not None:
            self.painter.close()


def is_figure(value):
    kind = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
    return isinstance(kind, type) and issubclass(type(value), kind)
