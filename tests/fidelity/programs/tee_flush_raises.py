import sys
class Logger:
    closed = False
    def __init__(self): self.t = sys.__stdout__
    def write(self, m): self.t.write(m)
    def flush(self): raise ValueError("no flush")
    def __repr__(self): return "<logger>"
sys.stdout = Logger()
print("logged")
