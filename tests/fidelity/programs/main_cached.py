# ways: file session
print(__cached__)
print(type(__loader__).__name__, __loader__.name)
