try:
    raise SystemExit(1)
except SystemExit:
    raise SystemExit(2)
