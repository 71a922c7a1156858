import subprocess, sys
done = subprocess.run([sys.executable, "-c", "import sys; print(sys.flags); print(sys.path); print(sys.argv)"], capture_output=True, text=True)
print(done.stdout, done.stderr, done.returncode)
