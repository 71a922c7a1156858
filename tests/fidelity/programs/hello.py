# ways: file string stdin session session-string
print("hello")
