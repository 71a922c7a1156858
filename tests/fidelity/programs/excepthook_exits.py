import sys
def hook(kind, value, tb):
    print("hook")
    sys.exit(5)
sys.excepthook = hook
raise ValueError("v")
