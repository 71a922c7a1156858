# SPDX-License-Identifier: MIT
"""What comes from a sandbox, before a front end shows it.

A page that shows a notebook runs the scripts of its outputs, with the rights of who looks at it: on a Jupyter server these are
to run code outside any sandbox, and what a page loads from elsewhere tells elsewhere. So scripts and addresses that are loaded by
themselves do not come through, HTML is made anew of tags that only arrange text, drawings come as pictures, and of a terminal's
commands only colours and moves within the output. All work is linear in the size of the text.
"""
import base64
import html
import re
from typing import Any, Dict, List, Match, Optional

HTML_MAX = 1 << 20
DEPTH_MAX = 64
TEXT_MAX = 64 << 10  # characters of what is said of an error
LINES_MAX = 1000

NO_FORMULAS = '<div class="tex2jax_ignore mathjax_ignore">{}</div>'  # they could have links to scripts in them
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
TAGS = frozenset(
    "a abbr b blockquote br caption center cite code col colgroup dd del details dfn div dl dt em figcaption figure h1 h2 h3 h4"
    " h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr tt u"
    " ul var wbr".split()
)
VOID = frozenset(("br", "col", "hr", "img", "wbr"))
WITHOUT_CONTENT = frozenset(
    "applet audio canvas embed frame frameset head iframe math noembed noframes noscript object plaintext script select style svg"
    " template textarea title video xmp".split()
)
ATTRIBUTES = frozenset("align alt border colspan height href open rowspan scope span src start title valign width".split())
TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})(?![A-Za-z0-9])([^<>]*)>")
ATTRIBUTE = re.compile(r"(?<![A-Za-z-])([A-Za-z-]{1,30})\s{0,10}=\s{0,10}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'=`]+))")
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z")
LINK = re.compile(r"(?:https?://|#)[^\s\x00-\x1f]*\Z", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
ACTIVE_MARKDOWN = re.compile(r"[<&\\]|!\[|script|data:", re.IGNORECASE)
ACTIVE_LATEX = re.compile(r"\\\s*(?:href|url|html|class|style|cssId|data|require|unicode|csname|def|let|newcommand)|[<>&]", re.IGNORECASE)
# Colours, and moves and erasing within the output; every other control is left out.
CONTROL = re.compile(r"\x1b\[[0-9;]{0,30}[ABCDGKm]|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]")
UNFINISHED = re.compile(r"\x1b(?:\[[0-9;]{0,30})?\Z")


def clean(text: str) -> str:
    """Text for a terminal."""
    return CONTROL.sub(lambda found: found.group() if len(found.group()) > 1 else "", text)


class Stream:
    """Text that comes in pieces: a command may be cut between them."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> str:
        text = self._rest + text
        cut = UNFINISHED.search(text)
        self._rest = text[cut.start() :] if cut else ""
        return clean(text[: cut.start()] if cut else text)


def lines(text: str) -> List[str]:
    """Of a traceback."""
    found = clean(text[:TEXT_MAX]).split("\n")
    return found[:LINES_MAX] if found[-1:] != [""] else found[:-1][:LINES_MAX]


def _attributes(text: str) -> str:
    made: List[str] = []
    for found in ATTRIBUTE.finditer(text):
        name, value = found.group(1).lower(), html.unescape(next(each for each in found.groups()[1:] + ("",) if each is not None))
        if name == "class" and "dataframe" in value.split():
            made.append(' class="dataframe"')
        if name not in ATTRIBUTES or (name == "src" and not PICTURE.match(value)) or (name == "href" and not LINK.match(value)):
            continue
        made.append(f' {name}="{html.escape(value)}"')
    return "".join(dict.fromkeys(made))


class _Html:
    def __init__(self) -> None:
        self.made: List[str] = []
        self.open: List[str] = []
        self.inside: Optional[str] = None  # whose content is left out

    def text(self, text: str) -> None:
        if self.inside is None:
            self.made.append(text.replace("<", "&lt;").replace(">", "&gt;"))

    def tag(self, found: "Match[str]") -> None:
        name, ends = found.group(2).lower(), bool(found.group(1))
        if self.inside is not None:
            self.inside = None if ends and name == self.inside else self.inside
        elif name in WITHOUT_CONTENT:
            self.inside = None if ends or found.group(3).endswith("/") else name
        elif name not in TAGS or (ends and (name in VOID or name not in self.open)):
            return
        elif ends:
            while self.open:
                last = self.open.pop()
                self.made.append(f"</{last}>")
                if last == name:
                    break
        elif len(self.open) < DEPTH_MAX:
            self.made.append(f"<{name}{_attributes(found.group(3))}>")
            if name not in VOID:
                self.open.append(name)

    def end(self) -> str:
        return "".join(self.made + [f"</{name}>" for name in reversed(self.open)])


def _without_comments(text: str) -> str:
    parts: List[str] = []
    at = 0
    while True:
        begin = text.find("<!--", at)
        if begin < 0:
            return "".join(parts) + text[at:]
        parts.append(text[at:begin])
        end = text.find("-->", begin + 4)
        if end < 0:
            return "".join(parts)
        at = end + 3


def safe_html(text: str) -> str:
    """The same text in tags that do nothing."""
    text, made, at = _without_comments(text), _Html(), 0
    for found in TAG.finditer(text):
        made.text(text[at : found.start()])
        made.tag(found)
        at = found.end()
    made.text(text[at:])
    return made.end()


def bundle(data: Dict[str, Any], trust: bool = False) -> Dict[str, Any]:
    """What a front end may have of a MIME bundle; there is always text."""
    if trust:
        return {**data, "text/plain": str(data.get("text/plain", ""))}
    safe: Dict[str, Any] = {"text/plain": clean(str(data.get("text/plain", "")))}
    texts = {mime: value for mime, value in data.items() if isinstance(value, str)}
    for mime in IMAGES:
        if mime in texts and BASE64.match(texts[mime]):
            safe[mime] = texts[mime]
    if len(texts.get("text/html", "")) <= HTML_MAX and "text/html" in texts:
        safe["text/html"] = NO_FORMULAS.format(safe_html(texts["text/html"]))
    if "image/svg+xml" in texts and "text/html" not in safe and not any(mime in safe for mime in IMAGES):
        drawing = base64.b64encode(texts["image/svg+xml"].encode("utf-8", "replace")).decode("ascii")
        safe["text/html"] = f'<img src="data:image/svg+xml;base64,{drawing}">'  # a picture runs no scripts
    for mime, active in (("text/markdown", ACTIVE_MARKDOWN), ("text/latex", ACTIVE_LATEX)):
        if mime in texts and len(texts[mime]) <= HTML_MAX:
            if not active.search(texts[mime]):
                safe[mime] = texts[mime]
            elif "text/html" not in safe:
                safe["text/plain"] = clean(texts[mime])
    if "application/json" in data:
        safe["application/json"] = data["application/json"]
    return safe
