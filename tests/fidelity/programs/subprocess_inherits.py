import subprocess, sys
print("before", flush=True)
subprocess.run([sys.executable, "-c", "print('child')"])
print("after")
