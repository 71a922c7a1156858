import warnings
warnings.simplefilter("always")
open("x.txt", "w").write("1")
print("after")
