# ways: file
import faulthandler, sys
faulthandler.dump_traceback(sys.stderr)
