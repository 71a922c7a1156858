import numpy as np
print(np.arange(6).reshape(2, 3), np.float64(1) / 3)
np.array([1, 2]) + np.array([1, 2, 3])
