# SPDX-License-Identifier: ISC
"""Free ports, and who listens, without making a connection."""
import os
import random
import socket

# Below the range from which the kernel takes the ports of outgoing connections:
# a test with ten thousand clients would sooner or later take ours.
# Of these, each of several test processes side by side has its own.
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS = range(15000 + _process, 32000, _processes)
_used = set()


def free_port():
    while True:
        port = random.choice(PORTS)
        if port in _used:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _used.add(port)
        return port


def listening_ports():
    """TCP ports on which somebody listens, IPv4 and IPv6."""
    ports = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(name):
            continue
        with open(name, encoding="ascii") as table:
            next(table)
            for line in table:
                fields = line.split()
                if fields[3] == "0A":
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def established(port):
    """Connections to a local TCP port over IPv4: for each the bytes that its side there
    has sent and the other has not taken."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        lines = [line.split() for line in table]
    return [int(fields[4].split(":")[0], 16) for fields in lines
            if fields[3] == "01" and int(fields[1].rsplit(":", 1)[1], 16) == port]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False
