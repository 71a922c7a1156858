import threading
def bad(): raise ValueError("in thread")
t = threading.Thread(target=bad, name="worker")
t.start()
t.join()
print("goes on")
