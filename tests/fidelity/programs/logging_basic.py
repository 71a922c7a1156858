import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(filename)s %(lineno)d %(funcName)s %(message)s")
logging.info("x")
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("caught")
