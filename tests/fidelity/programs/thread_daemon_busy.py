import threading, random
class Stats:
    def __init__(self): self.seen = 0
    def report(self): return "seen %d" % self.seen
stats = Stats()
def monitor():
    while True:
        stats.report()
rows = [[random.random()] for _ in range(300000)]
threading.Thread(target=monitor, daemon=True).start()
stats.seen = len(rows)
print(stats.report())
