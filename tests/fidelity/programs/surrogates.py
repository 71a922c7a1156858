import sys
print(ascii(sys.stdin.errors), ascii(sys.stdout.errors))
try:
    print("\udc80")
except UnicodeEncodeError as e:
    print(ascii(str(e)))
