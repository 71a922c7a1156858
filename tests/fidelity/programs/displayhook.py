import sys
sys.displayhook(5)
print(__import__("builtins")._)
