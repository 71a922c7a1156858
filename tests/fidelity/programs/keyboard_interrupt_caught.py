import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000000): pass
except KeyboardInterrupt:
    print("caught")
