import os
os.write(1, b"raw\n")
os.write(2, b"err\n")
print("text")
