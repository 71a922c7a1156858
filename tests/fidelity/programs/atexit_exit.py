import atexit, sys
def bad(): sys.exit(9)
atexit.register(bad)
print("x")
