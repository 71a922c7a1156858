import threading
t = threading.Thread(target=lambda: print("in thread", threading.current_thread().name, threading.current_thread() is threading.main_thread()))
t.start()
t.join()
print(threading.main_thread().name, threading.current_thread() is threading.main_thread(), threading.active_count())
