import logging
logging.warning("with a stack", stack_info=True)
def f(): logging.error("deeper", stack_info=True, stacklevel=2)
f()
