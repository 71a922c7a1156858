# ways: file string stdin session session-string
print(sorted(globals()))
print(__name__, __doc__, __package__, __spec__, __annotations__, type(__builtins__).__name__)
