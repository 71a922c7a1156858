# ways: file string stdin session session-string
print("before")
def f(x):
    return 1 / x
f(0)
