import os, stat
os.mkfifo("/tmp/pipe")
print(stat.S_ISFIFO(os.stat("/tmp/pipe").st_mode))
os.unlink("/tmp/pipe")
