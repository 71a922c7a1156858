import warnings
warnings.warn("a", stacklevel=2)
warnings.warn("b", UserWarning, stacklevel=3)
