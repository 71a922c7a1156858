# ways: file string session session-string
import warnings
warnings.warn("one")
warnings.warn("two", DeprecationWarning)
for _ in range(3): warnings.warn("repeated")
def f(): warnings.warn("level", stacklevel=2)
f()
