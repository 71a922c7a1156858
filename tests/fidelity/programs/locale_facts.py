import locale, sys
print(locale.getpreferredencoding(), locale.getpreferredencoding(False), locale.getlocale(), locale.setlocale(locale.LC_ALL))
print(open("x.txt", "w").encoding)
