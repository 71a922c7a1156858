# ways: string stdin session-string
try:
    print(__file__)
except NameError as e:
    print(e)
