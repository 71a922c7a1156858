d = 0
def f():
    global d
    d += 1
    f()
try: f()
except RecursionError: print(d)
def g(n): return 0 if n == 0 else 1 + g(n-1)
for n in (985, 990, 992, 994, 996, 997, 998, 999):
    try: print(n, g(n))
    except RecursionError as e: print(n, "RE")
