# ways: file
import unittest
class T(unittest.TestCase):
    def test_ok(self): pass
unittest.main(testRunner=unittest.TextTestRunner(stream=open("/dev/null", "w")))
