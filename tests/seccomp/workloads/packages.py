# SPDX-License-Identifier: MIT
"""The smaller packages of the sandbox image, each doing one thing that programs want it for."""
import io
import os
import subprocess
import sys
import warnings
import zipfile

CJK = "\u4e2d\u6587 \u306b\u307b\u3093\u3054 \ud55c\uad6d\uc5b4"


def seaborn_():
    import matplotlib.pyplot as plt
    import pandas as pd
    import seaborn as sns
    table = pd.DataFrame({"x": range(20), "y": [n * n for n in range(20)], "k": ["a", "b"] * 10})
    axes = sns.lineplot(table, x="x", y="y", hue="k")
    assert axes.get_xlabel() == "x" and len(axes.lines) >= 2
    sns.heatmap(table[["x", "y"]].corr(), annot=True, ax=plt.subplots()[1])
    assert len(sns.pairplot(table, hue="k").axes) == 2
    plt.savefig("sns.png")
    assert os.path.getsize("sns.png") > 5000
    plt.close("all")


def glyphs():
    import matplotlib
    import matplotlib.pyplot as plt
    import numpy as np

    def ink(text):
        figure = plt.figure(figsize=(4, 1))
        figure.text(0.1, 0.4, text)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., 0] < 128
        plt.close(figure)
        return pixels

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        first, *others = (ink(c) for c in CJK + "A" if c != " ")
        for other in others:
            assert other.any() and (other != first).any()  # not the same box for all
        with matplotlib.rc_context({"font.sans-serif": ["SimHei", "WenQuanYi Micro Hei"]}):
            assert ink(CJK).sum() > ink("A").sum()


def tqdm_():
    from tqdm import tqdm
    from tqdm.auto import trange
    with open("bar", "w", encoding="utf-8") as bar:
        assert sum(tqdm(range(10), file=bar)) == sum(trange(10, file=bar)) == 45
    assert "10/10" in open("bar", encoding="utf-8").read()


def openpyxl_():
    import openpyxl
    import pandas as pd
    table = pd.DataFrame({"name": [CJK, "b"], "n": [1.5, 2]})
    table.to_excel("t.xlsx", index=False)
    assert pd.read_excel("t.xlsx").equals(table)
    book = openpyxl.load_workbook("t.xlsx")
    book.active["B4"] = "=SUM(B2:B3)"
    book.save("u.xlsx")
    assert openpyxl.load_workbook("u.xlsx").active["B4"].value == "=SUM(B2:B3)"


def jinja2_():
    import jinja2
    import pandas as pd
    text = jinja2.Template("{% for n in all %}{{ n | upper }};{% endfor %}").render(all=["a", "b"])
    assert text == "A;B;"
    assert "background-color" in pd.DataFrame({"a": [1, 2]}).style.highlight_max(color="red").to_html()


def tabulate_():
    import pandas as pd
    from tabulate import tabulate
    assert tabulate([["a", 1]], headers=["k", "n"], tablefmt="github").splitlines()[2] == "| a   |   1 |"
    assert pd.DataFrame({"n": [1]}).to_markdown(index=False).splitlines()[0] == "|   n |"


def pillow():
    from PIL import Image, ImageDraw, ImageFilter, ImageFont
    picture = Image.new("RGB", (64, 48), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((2, 2), CJK, fill="black", font=ImageFont.truetype("wqy-microhei.ttc", 12))
    draw.ellipse((20, 20, 40, 40), fill="red")
    for name in ("p.png", "p.jpg", "p.gif", "p.webp", "p.tiff", "p.bmp", "p.pdf"):
        picture.filter(ImageFilter.BLUR).resize((32, 24)).save(name)
        assert name == "p.pdf" or Image.open(name).size == (32, 24)


def sympy_():
    import sympy
    x = sympy.symbols("x")
    assert sympy.solve(x ** 2 - 4, x) == [-2, 2]
    assert sympy.integrate(sympy.exp(-x ** 2), (x, -sympy.oo, sympy.oo)) == sympy.sqrt(sympy.pi)
    assert sympy.latex(sympy.diff(sympy.sin(x) / x, x)).startswith(r"\frac")


def networkx_():
    import matplotlib.pyplot as plt
    import networkx as nx
    graph = nx.karate_club_graph()
    assert nx.shortest_path_length(graph, 0, 33) == 2
    assert abs(sum(nx.pagerank(graph).values()) - 1) < 1e-6
    nx.draw(graph, pos=nx.spring_layout(graph, seed=1), with_labels=True)
    plt.savefig("graph.png")
    plt.close("all")


def requests_():
    import http.server
    import threading
    import requests

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"a": 1}')

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer = requests.get("http://127.0.0.1:%d/" % server.server_port, timeout=60)
    assert answer.ok and answer.json() == {"a": 1}
    server.shutdown()
    server.server_close()
    try:
        requests.get("http://example.com/", timeout=60)
    except requests.ConnectionError:  # as without a network anywhere
        return
    raise AssertionError("there is a network")


def beautifulsoup4():
    import bs4
    import pandas as pd
    page = "<html><body><p class=a>one<p class=a>two<table><tr><th>n<tr><td>7</table>"
    for parser in ("lxml", "html.parser"):
        assert [p.get_text()[:3] for p in bs4.BeautifulSoup(page, parser).select("p.a")][1] == "two"
    assert pd.read_html(io.StringIO(page))[0].n[0] == 7


def lxml_():
    from lxml import etree, html
    tree = etree.fromstring("<a><b n='1'/><b n='2'/></a>")
    assert tree.xpath("sum(b/@n)") == 3
    count = etree.XSLT(etree.XML(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>'
        '<xsl:template match="/"><xsl:value-of select="count(//b)"/></xsl:template></xsl:stylesheet>'))
    assert str(count(tree)) == "2"
    assert html.fromstring("<p>x<b>y").text_content() == "xy"


def pip_():
    with zipfile.ZipFile("tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "value = 7\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    done = subprocess.run(["pip", "install", "--no-index", "--target", "more", "./tiny-1.0-py3-none-any.whl"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    sys.path.insert(0, "more")
    import tiny
    assert tiny.value == 7
    assert b"pandas" in subprocess.run([sys.executable, "-m", "pip", "list"], stdout=subprocess.PIPE, check=True).stdout


def python():
    assert subprocess.run(["python", "-c", "print(6 * 7)"], stdout=subprocess.PIPE, check=True).stdout == b"42\n"


for each in (seaborn_, glyphs, tqdm_, openpyxl_, jinja2_, tabulate_, pillow, sympy_, networkx_, requests_, beautifulsoup4, lxml_,
             pip_, python):
    each()
    print("ok", each.__name__.strip("_"))
