import warnings
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    warnings.warn("x")
print(len(found), found[0].lineno, found[0].category.__name__, found[0].filename == __import__("sys")._getframe().f_code.co_filename)
