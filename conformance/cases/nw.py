# SPDX-License-Identifier: MIT
# Group NW: network "none". Nothing is sent unless the loopback interface is the only one.

_UNREACHABLE = ("ENETUNREACH", "EADDRNOTAVAIL")


def _connect(address, family=socket.AF_INET, seconds=3):
    with socket.socket(family, socket.SOCK_STREAM) as stream:
        stream.settimeout(seconds)
        stream.connect(address)


#: case NW-01 critical the loopback interface is the only one
#: expect lo
def nw_01():
    return sorted(os.listdir("/sys/class/net"))


#: case NW-02 critical no connection goes out, and that is clear at once
#: expect ENETUNREACH at once
def nw_02():
    if not alone():
        return "not tried, there is a network"
    start = time.monotonic()
    answer = err(lambda: _connect(("192.0.2.1", 80)))
    return answer, "at once" if time.monotonic() - start < 0.5 else "late"


#: case NW-03 critical no connection goes out over IPv6
#: expect none
def nw_03():
    if not alone():
        return "not tried, there is a network"
    return attempts({"tcp6": lambda: _connect(("2001:db8::1", 80), socket.AF_INET6)}, _UNREACHABLE)


#: case NW-04 critical no datagram goes out, no name is resolved
#: expect ENETUNREACH gaierror
def nw_04():
    if not alone():
        return "not tried, there is a network"
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        socket.getaddrinfo("example.com", 80)
        resolved = "resolved"
    except socket.gaierror:
        resolved = "gaierror"
    return err(lambda: datagram.sendto(b"x", ("192.0.2.53", 53))), resolved


#: case NW-05 critical metadata service, gateways and private networks cannot be reached
#: expect none
def nw_05():
    if not alone():
        return "not tried, there is a network"
    addresses = ("169.254.169.254", "172.17.0.1", "10.0.2.2", "10.88.0.1", "192.168.0.1")
    return attempts({address: lambda address=address: _connect((address, 80), seconds=2) for address in addresses},
                    ("ENETUNREACH",))


#: case NW-06 critical a listener on the host's loopback cannot be reached
#: expect none
#: host silent
def nw_06():
    if not alone():
        return "not tried, there is a network"
    port = FACTS["port"]
    return attempts({"v4": lambda: _connect(("127.0.0.1", port)),
                     "v6": lambda: _connect(("::1", port), socket.AF_INET6)}, _UNREACHABLE + ("ECONNREFUSED",))


#: case NW-07 medium the sandbox's own loopback works
#: expect hello
def nw_07():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    client = socket.create_connection(server.getsockname(), 3)
    client.sendall(b"hello")
    peer = server.accept()[0]
    peer.settimeout(3)
    return peer.recv(5).decode()


#: case NW-08 medium two sandboxes can listen on the same port
#: expect ok
#: own
#: beside
def nw_08():
    server = socket.socket()
    answer = err(lambda: server.bind(("0.0.0.0", 40000))) if alone() else "not tried, there is a network"
    if answer == "ok":
        server.listen()
    meet()
    return answer


#: case NW-09 critical an abstract socket of the host cannot be reached
#: expect ECONNREFUSED
#: host silent
def nw_09():
    return err(lambda: socket.socket(socket.AF_UNIX).connect("\0" + FACTS["abstract"]))


#: case NW-10 high abstract sockets are not shared between two sandboxes
#: expect ECONNREFUSED ok
#: own
#: beside
def nw_10():
    name = "\0" + FACTS["abstract"] + "-pair"
    answers = [err(lambda: socket.socket(socket.AF_UNIX).connect(name))]
    server = socket.socket(socket.AF_UNIX)
    answers.append(err(lambda: (server.bind(name), server.listen())))
    meet()
    return answers


#: case NW-11 high no interface or route can be changed
#: expect EPERM EPERM
def nw_11():
    import fcntl
    import struct
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    up = struct.pack("16sh14x", b"lo", 1)
    return err(lambda: fcntl.ioctl(control, 0x8914, up)), err(lambda: fcntl.ioctl(control, 0x890B, b"\0" * 120))


#: case NW-12 medium name service files hold nothing of the host
#: expect none
def nw_12():
    found = []
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname"):
        try:
            words = open(path).read().split()
        except OSError:
            continue
        found += ["%s:%s" % (path, word) for word in FACTS["host_words"] if word in words]
    return found or "none"
