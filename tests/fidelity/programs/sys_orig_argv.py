# ways: file string stdin
import sys
print(sys.orig_argv[1:])
