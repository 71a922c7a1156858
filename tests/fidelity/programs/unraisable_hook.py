import sys
sys.unraisablehook = lambda u: print("unraisable", type(u.exc_value).__name__, u.exc_value)
class Noisy:
    def __del__(self): raise ValueError("in del")
Noisy()
