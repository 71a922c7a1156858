import builtins
print([n for n in dir(builtins) if n.startswith("_")])
