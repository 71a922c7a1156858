class Noisy:
    def __del__(self): raise ValueError("in del")
Noisy()
print("after")
