import os, sys
sys.stdout = os.fdopen(sys.stdout.fileno(), "w", buffering=1)
print("a")
