# ways: file string stdin session session-string
import sys
print("x")
sys.exit(3)
