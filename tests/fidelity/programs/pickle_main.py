import pickle
class C:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x
def f(): return "f"
print(pickle.loads(pickle.dumps(C(5))) == C(5), pickle.loads(pickle.dumps(f))(), C.__module__, C.__qualname__)
try:
    pickle.dumps(lambda: 1)
except Exception as e:
    print(type(e).__name__)
