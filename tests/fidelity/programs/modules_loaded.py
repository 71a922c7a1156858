import sys
print("user_module" in sys.modules, "__main__" in sys.modules, "__mp_main__" in sys.modules)
