import __main__, sys
x = 5
print(__main__.x, sys.modules["__main__"].__dict__ is globals(), vars() is globals(), locals() is globals())
