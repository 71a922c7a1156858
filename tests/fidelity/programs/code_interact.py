# stdin: print(1 + 1)\nraise SystemExit(3)
import code
code.interact(banner="hello")
