import signal, time
def on(n, frame):
    print("alarm", frame.f_code.co_name)
signal.signal(signal.SIGALRM, on)
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
print("end")
