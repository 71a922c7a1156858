import os, sys
r, w = os.pipe()
os.close(r)
f = os.fdopen(w, "w")
f.write("x")
try:
    f.flush()
except BrokenPipeError as e:
    print(e)
try:
    f.close()
except BrokenPipeError as e:
    print("close", e)
