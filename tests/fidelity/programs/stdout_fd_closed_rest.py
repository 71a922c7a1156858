import os, sys
sys.stdout.write("lost")
os.close(1)
