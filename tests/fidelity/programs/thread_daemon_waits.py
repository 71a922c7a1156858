import atexit, threading
event = threading.Event()
threading.Thread(target=event.wait, daemon=True).start()
atexit.register(print, "late")
print("end")
