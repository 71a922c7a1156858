# ways: file session
import runpy
open("other.py", "w").write("print(__name__)\nVALUE = 3\n")
print(runpy.run_path("other.py", run_name="x")["VALUE"])
