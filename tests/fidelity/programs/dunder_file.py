# ways: file session
import os
print(__file__, os.path.isabs(__file__), os.path.exists(__file__), os.access(__file__, os.R_OK))
print(open(__file__).read())
