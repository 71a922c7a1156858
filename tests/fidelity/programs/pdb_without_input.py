# ways: string session-string
import pdb
pdb.set_trace()
print("after")
