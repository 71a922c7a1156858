import warnings
print(len(warnings.filters))
for f in warnings.filters: print(f)
