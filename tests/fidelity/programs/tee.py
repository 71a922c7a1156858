# ways: file string stdin session session-string
import sys
class Logger:
    def __init__(self): self.t = sys.stdout
    def write(self, m): self.t.write(m)
    def flush(self): self.t.flush()
sys.stdout = Logger()
print("logged")
