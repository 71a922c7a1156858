import sys
try:
    print(sys.stdin.tell())
except OSError as e:
    print(e)
try:
    print(sys.stdout.tell())
except OSError as e:
    print(e)
