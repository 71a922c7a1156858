import atexit, sys
def late():
    print(sys.last_type.__name__, sys.last_value, sys.last_traceback.tb_lineno)
atexit.register(late)
print(hasattr(sys, "last_type"), hasattr(sys, "last_exc"))
raise ValueError("v")
