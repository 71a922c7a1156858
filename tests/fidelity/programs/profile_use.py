import cProfile, io, pstats
p = cProfile.Profile()
p.runcall(sorted, [3, 1, 2])
out = io.StringIO()
pstats.Stats(p, stream=out).print_stats()
print(out.getvalue().splitlines()[0].strip().split(" in ")[0])
