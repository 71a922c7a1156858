import subprocess
print(subprocess.run("yes | head -n 1", shell=True, capture_output=True, text=True).stdout)
