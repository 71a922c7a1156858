import getpass, os
print(getpass.getuser(), os.path.expanduser("~"))
