import os, sys
sys.stdout.flush()
pid = os.fork()
if pid:
    print("child gave", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    print("child")
    sys.exit(5)
