# SPDX-License-Identifier: ISC
"""HTTP as the tests speak it, and metrics as Prometheus reads them."""
import base64
import http.client
import json
import re
import socket

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+|NaN|[+-]Inf)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Answer:
    def __init__(self, response):
        self.code = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Web:
    """Where a router answers HTTP."""

    def __init__(self, port, host="127.0.0.1", unix=None):
        self.port, self.host, self.unix = port, host, unix

    def connection(self, timeout=60):
        if self.unix:
            return UnixConnection(self.unix, timeout)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def ask(self, path, method="GET", headers=None, body=None):
        connection = self.connection()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        answer = self.ask(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.code == 200, (path, answer.code, answer.text)
        return answer

    def json(self, path):
        return self.get(path).json()

    def metrics(self, openmetrics=False):
        return Metrics(self.get("/metrics", **({"Accept": OPENMETRICS} if openmetrics else {})).text)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Metrics:
    """The samples of one scrape.  No line may be anything else, none may be there twice."""

    def __init__(self, text):
        self.text = text
        self.types = {}
        self.samples = {}
        for line in text.splitlines():
            if line.startswith("#"):
                words = line.split(" ")
                if words[1] == "TYPE":
                    assert words[2] not in self.types, line
                    self.types[words[2]] = words[3]
                continue
            found = SAMPLE.match(line)
            assert found, line
            key = (found[1], frozenset(LABEL.findall(found[2] or "")))
            assert key not in self.samples, line
            self.samples[key] = float(found[3])

    def value(self, name, **labels):
        """Of the one sample that has at least these labels."""
        (value,) = self.values(name, **labels)
        return value

    def values(self, name, **labels):
        wanted = set(labels.items())
        return [value for (found, has), value in self.samples.items()
                if found == name and wanted <= has]

    def sum(self, name, **labels):
        return sum(self.values(name, **labels))
