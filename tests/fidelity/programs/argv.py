# args: one --two=3 é
import sys
print(sys.argv[1:], len(sys.argv))
