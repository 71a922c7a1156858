import os
fd = os.dup(1)
os.dup2(2, 1)
print("to stderr", flush=True)
os.dup2(fd, 1)
print("to stdout")
