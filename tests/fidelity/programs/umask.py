import os
old = os.umask(0o022)
print(oct(old))
open("f", "w").close()
print(oct(os.stat("f").st_mode))
