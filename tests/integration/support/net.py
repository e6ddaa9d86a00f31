# SPDX-License-Identifier: ISC
"""Free ports, and who listens, without making a connection."""
import fcntl
import itertools
import os
import random
import socket
import tempfile

# Below the range from which the kernel takes the ports of outgoing connections:
# a test with ten thousand clients would sooner or later take ours.
FIRST, EACH, SLICES = 15000, 1000, 17


def take_slice():
    """The ports of this process: those of others side by side, of other runs, too, have other
    ones as long as they live.  A port is looked at long before somebody listens there."""
    for number in range(SLICES):
        path = os.path.join(tempfile.gettempdir(), f"pgtandem-ports-{os.getuid()}-{number}")
        lock = open(path, "a", encoding="ascii")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, lock
        except OSError:
            lock.close()
    return random.randrange(SLICES), None


# Until the process ends.
_slice, _lock = take_slice()
_turn = itertools.count(random.randrange(EACH))


def free_port():
    """One that was not used for long."""
    while True:
        port = FIRST + _slice * EACH + next(_turn) % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
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
