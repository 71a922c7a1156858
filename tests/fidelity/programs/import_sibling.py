open("helper_module.py", "w").write("VALUE = 42\nprint('imported', __name__)\n")
import helper_module
print(helper_module.VALUE, helper_module.__file__)
