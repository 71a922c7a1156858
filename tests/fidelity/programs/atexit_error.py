import atexit
def bad(): raise ValueError("in handler")
atexit.register(print, "still")
atexit.register(bad)
