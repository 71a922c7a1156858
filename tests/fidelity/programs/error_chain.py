# ways: file string stdin session session-string
try:
    {}["a"]
except KeyError as e:
    raise ValueError("b") from e
