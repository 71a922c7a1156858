# ways: file string stdin
raise KeyboardInterrupt
