# ways: file session
import subprocess, sys
if len(sys.argv) > 1:
    print("again", sys.argv[1])
else:
    print(subprocess.run([sys.executable, __file__, "x"], capture_output=True, text=True).stdout)
