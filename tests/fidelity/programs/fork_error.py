import os
pid = os.fork()
if pid:
    print("child gave", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    1 / 0
