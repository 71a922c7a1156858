# ways: file string stdin
import os, sys
print("before", flush=True)
os.execv(sys.executable, [sys.executable, "-c", "print('other'); raise SystemExit(8)"])
