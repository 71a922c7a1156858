# ways: file string
import sys
seen = []
sys.addaudithook(lambda name, args: seen.append(name) if name.startswith("exec") else None)
exec("1")
print(seen)
