# ways: file string stdin session session-string
import inspect
def alpha():
    return 1  # one
class Beta:
    def gamma(self):
        return 2
print(inspect.getsource(alpha))
print(inspect.getsource(Beta.gamma))
print(inspect.getsourcelines(alpha)[1])
