# SPDX-License-Identifier: MIT
"""Habits from notebooks: await outside a function, and lines that only IPython understands.

kernel.py loads this file when they are met; its names are here as well.
"""
LOOP = [None]
NEEDS_LOOP = frozenset(("create_task", "ensure_future", "get_running_loop", "current_task"))
HAS_LOOP = frozenset(("run", "Runner", "new_event_loop"))
OTHER_TIMES = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda)  # what is in them runs when they are called


def makes_tasks(tree):
    """Whether code of a session needs a running loop though it awaits nothing: it makes a task, for a later execution.

    A notebook's loop always runs, but then asyncio.run() fails there; here it works as in a program.
    """
    now, ever, queue = set(), set(), [(node, True) for node in tree.body]
    while queue:
        node, runs = queue.pop()
        if isinstance(node, _ast.Attribute) and isinstance(node.value, _ast.Name) and node.value.id == "asyncio":
            ever.add(node.attr)
            now.update([node.attr] if runs else ())
        runs = runs and not isinstance(node, OTHER_TIMES)
        for value in node.__dict__.values():
            queue += [(each, runs) for each in (value if isinstance(value, list) else [value]) if isinstance(each, _ast.AST)]
    return bool(now & NEEDS_LOOP) and not ever & HAS_LOOP


def run_coroutine(coroutine, sink):
    """In one event loop for the whole session, so that what one execution has made there works in the next.

    The code hands its errors over itself; what else comes out, an interrupt, was raised in the loop.
    """
    task = None
    try:
        asyncio = library("asyncio")
        if LOOP[0] is None or LOOP[0].is_closed():
            LOOP[0] = asyncio.new_event_loop()
        loop = LOOP[0]
        asyncio.set_event_loop(loop)
        task = loop.create_task(coroutine)
        loop.run_until_complete(task)
    except BaseException as e:
        sink.errors.insert(0, (type(e), e, None))
        drop_frames(e)
        if task is not None and not task.done():
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))


def drop_frames(error):
    """Those of the event loop are not the program's."""
    place = library("asyncio").__file__.rpartition("/")[0]
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith((place, PLACE)):
        tb = tb.tb_next
    error.__traceback__ = tb


SHELL = "is a command of IPython: use subprocess.run(…, shell=True)"
INSTEAD = {
    "pip": "packages are part of the image, see the policy",
    "matplotlib": "figures are shown without it, remove the line",
    "time": "use time.perf_counter()",
    "timeit": "use the module timeit",
    "cd": "use os.chdir()",
    "pwd": "use os.getcwd()",
    "ls": "use os.listdir()",
    "env": "use os.environ",
    "run": "use runpy.run_path()",
    "load_ext": "extensions of IPython do not exist here",
    "bash": "use subprocess.run(…, shell=True)",
    "sh": "use subprocess.run(…, shell=True)",
    "writefile": "use open(…, \"w\")",
}


def explain(error, code):
    """Says what to do instead where the error is in a line of IPython."""
    lines = code.split("\n")
    if not isinstance(error.lineno, int) or not 0 < error.lineno <= len(lines):
        return
    line = lines[error.lineno - 1].strip()
    target, equals, right = line.partition("=")
    if equals and target.strip().isidentifier() and right.lstrip()[:1] in ("!", "%"):
        line = right.strip()
    word = line.lstrip("!%").split(" ", 1)[0]
    if line.startswith("!"):
        said = "'!' %s" % SHELL if word not in ("pip", "pip3") else "'!pip' is a command of IPython: %s" % INSTEAD["pip"]
    elif line.startswith("%"):
        said = "'%s' is a magic command of IPython: %s" % (line.split(" ", 1)[0], INSTEAD.get(word, "write it in Python"))
    elif line.startswith("?") or (line.endswith("?") and "#" not in line):
        said = "'?' is a command of IPython: use help()"
    else:
        return
    error.msg = said
    error.args = (said,) + error.args[1:]
