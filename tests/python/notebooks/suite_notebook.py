# SPDX-License-Identifier: MIT
"""Notebooks and a console, by the programs that people use: jupyter nbconvert and jupyter console."""
import base64
import os
import re

import nbformat

from conftest import sessions, wait_until

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../examples/notebook.ipynb")
CELLS = (
    "x = 40\nprint('first', x)",
    "x += 2\nx",
    "import pandas as pd\npd.DataFrame({'name': ['a', 'b'], 'n': [1, x]})",
    "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nNone",
    "print('before')\n1 / 0",
    "print('waits', flush=True)\nwhile True: pass",
    "x",
)


def convert(place, source, kind, *more):
    """The notebook, or the text, that comes of it."""
    status, said = place.call("nbconvert", "--to", kind, "--execute", "--output-dir", place.top, "--output", "made", source, *more)
    assert status == 0, said
    path = os.path.join(place.top, "made." + ("ipynb" if kind == "notebook" else kind))
    if kind == "notebook":
        return nbformat.read(path, 4)
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(place, cells):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    book.metadata["kernelspec"] = {"name": "dsandbox", "display_name": "sandbox", "language": "python"}
    path = os.path.join(place.top, "given.ipynb")
    nbformat.write(book, path)
    return path


def outputs(cell):
    return [(one.output_type, one.get("name") or one.get("ename") or one.get("data", {}).get("text/plain")) for one in cell.outputs]


def test_execute(place):
    """State, a dataframe, a figure, an error, and a cell that nbconvert interrupts; the variables are there after it."""
    place.install()
    book = convert(place, write(place, CELLS), "notebook", "--allow-errors", "--ExecutePreprocessor.timeout=15",
                   "--ExecutePreprocessor.interrupt_on_timeout=True")
    nbformat.validate(book)
    first, value, table, figure, error, interrupted, after = book.cells
    assert (outputs(first), first.outputs[0].text, first.execution_count) == ([("stream", "stdout")], "first 40\n", 1)
    assert outputs(value) == [("execute_result", "42")]
    assert outputs(table) == [("execute_result", "  name   n\n0    a   1\n1    b  42")] and "<td>42</td>" in table.outputs[0].data["text/html"]
    assert [kind for kind, _ in outputs(figure)] == ["display_data"]
    assert base64.b64decode(figure.outputs[0].data["image/png"])[:8] == b"\x89PNG\r\n\x1a\n"
    assert outputs(error) == [("stream", "stdout"), ("error", "ZeroDivisionError")]
    assert outputs(interrupted) == [("stream", "stdout"), ("error", "KeyboardInterrupt")]
    assert outputs(after) == [("execute_result", "42")]
    assert wait_until(lambda: sessions() == [])


def test_an_error_ends_it(place):
    place.install()
    status, said = place.call("nbconvert", "--to", "notebook", "--execute", "--output-dir", place.top, "--output", "made", write(place, CELLS))
    assert status != 0 and "ZeroDivisionError: division by zero" in said
    assert wait_until(lambda: sessions() == [])


def test_example(place):
    place.install()
    book = convert(place, EXAMPLE, "notebook")
    _, state, table, figure, outside = book.cells
    assert (outputs(state), [kind for kind, _ in outputs(figure)]) == ([], ["display_data"])
    assert table.outputs[0].data["text/plain"] == "   name  spent\n0   ada    200\n1   bob     15\n2  cleo    300"
    assert outputs(outside) == [("error", "OSError")] and "Network is unreachable" in outside.outputs[0].evalue


def test_html(place):
    """What a sandbox shows does nothing in the page that is made."""
    place.install()
    hostile = ("from IPython.display import HTML, display\ndisplay(HTML('<h3 onclick=\"evil()\">seen</h3><script>evil()</script><img src=\"http://evil/\">'),\n"
               "        {'text/html': '<svg onload=evil()>', 'image/png': '\"><script>evil()</script>', 'application/javascript': 'evil()'}, raw=False)\n"
               "display({'text/html': '<svg onload=evil()>', 'image/png': '\"><script>evil()</script>', 'application/javascript': 'evil()'}, raw=True)\n"
               "print('\\x1b]0;evil\\x07<script>evil()</script>')")
    text = convert(place, write(place, [*CELLS[:4], hostile]), "html", "--no-input")
    assert "<h3>seen</h3>" in text and re.search(r'<img[^>]*src="data:image/png;base64,iVBOR', text)
    assert not re.search(r"<[^>]*evil|<script[^>]*>\s*evil|http://evil", text)


def test_console(place):
    place.install()
    status, said = place.call("jupyter_console", "--kernel", "dsandbox", "--simple-prompt", input=b"x = 6\nprint(x * 7)\nx + 1\n1/0\nexit\n")
    assert status == 0, said
    assert "42" in said and "Out[3]: 7" in said and "ZeroDivisionError: division by zero" in said
    assert wait_until(lambda: sessions() == [])
