import sys
def f():
    try:
        sys.exit(9)
    finally:
        print("finally")
f()
