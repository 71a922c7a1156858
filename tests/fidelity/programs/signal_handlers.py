import signal
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
for s in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM):
    print(s, signal.getsignal(s))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
