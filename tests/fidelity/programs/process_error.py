import multiprocessing as mp
def work(): raise ValueError("in process")
p = mp.get_context("fork").Process(target=work)
p.start()
p.join()
print(p.exitcode)
