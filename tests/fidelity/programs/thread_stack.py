import inspect, threading
def work(): print([f.function for f in inspect.stack()])
t = threading.Thread(target=work)
t.start()
t.join()
