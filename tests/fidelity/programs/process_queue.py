import multiprocessing as mp
ctx = mp.get_context("fork")
def work(q): q.put([1, "two"])
q = ctx.Queue()
p = ctx.Process(target=work, args=(q,))
p.start()
print(q.get())
p.join()
print(p.exitcode)
