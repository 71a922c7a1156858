é = 1
print(é, "ñ".encode(), "\N{GREEK SMALL LETTER ALPHA}")
