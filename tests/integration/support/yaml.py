# SPDX-License-Identifier: ISC
"""Writes the little YAML that a configuration needs."""
import re

PLAIN = re.compile(r"^[A-Za-z/][A-Za-z0-9_./-]*$")
NUMBER = re.compile(r"^[0-9]+(us|ms|s|min|h|d|B|kB|MB|GB)?$")
WORDS = {"true", "false", "null", "yes", "no", "on", "off"}


def scalar(value):
    if value is True or value is False:
        return str(value).lower()
    text = str(value)
    if NUMBER.match(text) or (PLAIN.match(text) and text.lower() not in WORDS):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def dump(node, indent=0):
    """A dict as block mapping; lists in one line; None leaves a key out."""
    lines = []
    for key, value in node.items():
        name = " " * indent + (key if PLAIN.match(key) else f'"{key}"') + ":"
        if value is None:
            continue
        if isinstance(value, dict):
            if any(v is not None for v in value.values()):
                lines += [name, dump(value, indent + 2)]
            else:
                lines.append(name + " {}")
        elif isinstance(value, (list, tuple)):
            lines.append(name + " [" + ", ".join(map(scalar, value)) + "]")
        else:
            lines.append(f"{name} {scalar(value)}")
    return "\n".join(lines)
