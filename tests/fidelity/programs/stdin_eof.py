# ways: file string session session-string
try:
    input("? ")
except EOFError as e:
    print("end", e)
