# ways: file session
import inspect
class Beta:
    x = 1
print(inspect.getsource(Beta))
print(inspect.getsourcefile(Beta), inspect.getfile(Beta))
