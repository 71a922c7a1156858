import atexit, inspect, traceback
def late():
    print([f.function for f in inspect.stack()])
    traceback.print_stack()
atexit.register(late)
