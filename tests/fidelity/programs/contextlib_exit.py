import contextlib
with contextlib.ExitStack() as stack:
    stack.callback(print, "closed")
    raise ValueError("x")
