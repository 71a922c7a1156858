exec("x = 1\nprint(x)\nraise ValueError('inside exec')")
