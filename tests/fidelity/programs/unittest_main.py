# ways: file session
import unittest
class T(unittest.TestCase):
    def test_ok(self): self.assertEqual(1, 1)
    def test_bad(self): self.assertEqual(1, 2)
if __name__ == "__main__":
    import sys
    out = unittest.main(exit=False, argv=["x"], testRunner=unittest.TextTestRunner(stream=open("/dev/null", "w")))
    print(out.result.testsRun, len(out.result.failures))
    print(out.result.failures[0][1])
