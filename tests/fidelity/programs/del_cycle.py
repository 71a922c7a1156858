class Noisy:
    def __init__(self): self.me = self
    def __del__(self): print("del")
n = Noisy()
