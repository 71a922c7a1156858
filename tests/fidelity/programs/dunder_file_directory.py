# ways: file session
import os
os.chdir(os.path.dirname(__file__) if os.path.isabs(__file__) else os.path.dirname(os.path.abspath(__file__)))
print(os.getcwd())
os.chdir(os.path.dirname(__file__))
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "beside.txt"), "w").write("1")
print(sorted(n for n in os.listdir() if not n.startswith(".")))
