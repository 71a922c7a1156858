# ways: file string stdin session session-string
import sys
sys.stdout.reconfigure(encoding="utf-8")
print("é")
sys.stdout.reconfigure(errors="replace")
print("done", sys.stdout.errors)
