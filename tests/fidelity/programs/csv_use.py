import csv, sys
csv.writer(sys.stdout).writerows([[1, "a,b"], [2, 'q"']])
