import sys
print(sys.executable, sys.prefix, sys.base_prefix, sys.byteorder, sys.maxsize, sys.getrecursionlimit(), sys.getswitchinterval())
print(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.getdefaultencoding(), sys.ps1 if hasattr(sys, "ps1") else None)
print(sys.displayhook is sys.__displayhook__, sys.excepthook is sys.__excepthook__, sys.unraisablehook is sys.__unraisablehook__, sys.breakpointhook is sys.__breakpointhook__)
print(sys.gettrace(), sys.getprofile(), sys.exc_info())
