# SPDX-License-Identifier: MIT
"""What code that was written for a notebook imports from IPython, where there is no IPython.

kernel.py loads this file when the code imports it; its names are here as well.
"""
show = display  # kernel.py's
MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"<svg", "svg+xml"), (b"<?xml", "svg+xml"))


class DisplayHandle:
    """What display(…, display_id=True) gives."""

    def __init__(self, display_id=None):
        self.display_id = display_id or "display %d" % id(self)

    def display(self, value, **options):
        show(value, display_id=self.display_id, **options)

    def update(self, value, **options):
        show(value, display_id=self.display_id, **options)


class DisplayObject:
    """Data, or where it is: a file or an address."""

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if isinstance(data, str) and data.startswith(("http://", "https://")):
            data, url = None, data
        elif type(data).__fspath__ if hasattr(type(data), "__fspath__") else False:
            data, filename = None, data
        self.data, self.url, self.filename, self.metadata = data, url, filename, metadata or {}
        if data is None and filename is not None:
            self.reload()

    binary = False

    def reload(self):
        with open(self.filename, "rb") as f:
            data = f.read()
        self.data = data if self.binary else data.decode("utf-8")

    def __repr__(self):
        return "<%s.%s object>" % (type(self).__module__, type(self).__name__)


def of_type(name, method, doc, change=lambda text: text):
    def made(self):
        return None if self.data is None else change(self.data)

    made.__name__ = method
    return type(name, (DisplayObject,), {"__doc__": doc, "__module__": "IPython.display", method: made})


def math(text):
    return "$\\displaystyle %s$" % text.strip("$")


HTML = of_type("HTML", "_repr_html_", "HTML as text.")
HTML.__html__ = HTML._repr_html_
Markdown = of_type("Markdown", "_repr_markdown_", "Markdown as text.")
Latex = of_type("Latex", "_repr_latex_", "LaTeX as text.")
Math = of_type("Math", "_repr_latex_", "A formula in LaTeX.", math)
SVG = of_type("SVG", "_repr_svg_", "A drawing as text.")
Javascript = of_type("Javascript", "_repr_javascript_", "JavaScript as text.")
JSON = of_type("JSON", "_repr_json_", "A value that becomes JSON.", lambda data: library("json").loads(data) if isinstance(data, str) else data)
Pretty = of_type("Pretty", "_repr_pretty_", "Plain text.")
Pretty.__repr__ = lambda self: str(self.data)
Code = of_type("Code", "_repr_pretty_", "Source text.")
Code.__repr__ = Pretty.__repr__
Code._repr_html_ = lambda self: "<pre>%s</pre>" % library("html").escape(str(self.data))


def attributes(**given):
    return "".join([' %s="%s"' % (k, library("html").escape(str(v))) for k, v in given.items() if v is not None])


class Image(DisplayObject):
    """A picture: bytes, the name of a file, or an address."""

    binary = True

    def __init__(self, data=None, url=None, filename=None, format=None, embed=None, width=None, height=None, metadata=None, **_):
        if isinstance(data, str) and not data.startswith(("http://", "https://")):
            data, filename = None, data
        super().__init__(data, url, filename, metadata)
        self.width, self.height, self.format = width, height, format

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.data is None:
            return {"text/html": "<img%s/>" % attributes(src=self.url, width=self.width, height=self.height)}
        kind = next((kind for start, kind in MAGIC if self.data.startswith(start)), self.format or "png")
        return {"image/" + kind: self.data.decode("utf-8") if kind == "svg+xml" else self.data}


class IFrame:
    """Another page."""

    def __init__(self, src, width="100%", height=400, **params):
        self.src, self.width, self.height = src, width, height
        if params:
            self.src += ("&" if "?" in src else "?") + library("urllib.parse").urlencode(params)

    def _repr_html_(self):
        return "<iframe%s></iframe>" % attributes(width=self.width, height=self.height, src=self.src)


class FileLink:
    """The name of a file."""

    def __init__(self, path, **_):
        self.path = str(path)

    def __repr__(self):
        return self.path

    def _repr_html_(self):
        return "<a%s>%s</a>" % (attributes(href=self.path), library("html").escape(self.path))


def clear_output(wait=False):
    """What was shown is taken back; what was printed stays."""
    execution = current()
    if execution is not None:
        execution.output().clear()


def update_display(value, *, display_id, **options):
    show(value, display_id=display_id, **options)


def shower(mime):
    def display_as(*objects, raw=False, **options):
        for value in objects:
            show({mime: value} if raw else value, raw=raw, **options)

    display_as.__name__ = "display_" + mime
    return display_as


NAMES = {made.__name__: made for made in (
    DisplayHandle, DisplayObject, HTML, Markdown, Latex, Math, SVG, Javascript, JSON, Pretty, Code, Image, IFrame, FileLink,
    clear_output, update_display)}
NAMES["display"] = show
for _short, _mime in (("html", "text/html"), ("markdown", "text/markdown"), ("latex", "text/latex"), ("svg", "image/svg+xml"),
                      ("png", "image/png"), ("jpeg", "image/jpeg"), ("json", "application/json"), ("pretty", "text/plain")):
    NAMES["display_" + _short] = shower(_mime)
CONTENT = {
    # The version from which on matplotlib does not look for more of it.
    "IPython": {"get_ipython": lambda: None, "version_info": (8, 24, 0), "__version__": "8.24.0"},
    "IPython.display": NAMES,
    "IPython.core": {},
    "IPython.core.display": NAMES,
    "IPython.core.getipython": {"get_ipython": lambda: None},
}


class Loader:
    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__doc__ = "The part of IPython that shows things; IPython itself is not installed here."
        names = CONTENT[module.__name__]
        module.__dict__.update(names)
        if module.__name__ == "IPython":
            __import__("IPython.display")
        elif names:
            module.__all__ = list(names)


def find_spec(name):
    if name not in CONTENT:
        return None
    machinery = library("importlib.machinery")
    return machinery.ModuleSpec(name, Loader, is_package=name in ("IPython", "IPython.core"))
