# ways: file string stdin session session-string
import sys
print(sys.argv)
