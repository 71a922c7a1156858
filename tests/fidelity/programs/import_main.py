# ways: file session
import importlib, sys
print(sorted(k for k in sys.modules if k == "__main__"))
spec = importlib.util.find_spec("json")
print(spec.name)
