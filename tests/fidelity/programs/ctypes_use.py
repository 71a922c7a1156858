import ctypes
print(ctypes.CDLL(None).getpid() == __import__("os").getpid())
