# ways: file session
import multiprocessing as mp
print("module", __name__)
def work(): print("work", __name__, mp.current_process().name)
if __name__ == "__main__":
    p = mp.get_context("spawn").Process(target=work)
    p.start()
    p.join()
    print(p.exitcode)
