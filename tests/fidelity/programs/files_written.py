import os
os.makedirs("a/b")
open("a/b/c.txt", "w").write("content")
open("top.bin", "wb").write(bytes(range(256)))
os.symlink("top.bin", "link")
print(sorted(os.listdir()) if "__file__" not in globals() else "")
