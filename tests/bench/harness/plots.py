# SPDX-License-Identifier: ISC
"""Plots as SVG: bars for each load and pooler, and lines over the offered rate."""
import math
from xml.sax.saxutils import escape

from . import poolers

COLOURS = {"uring": "#1b6ca8", "uring-tracked": "#4d8fc0", "uring-off": "#7fb2d9",
           "uring-2": "#0b3d61", "uring-reuse": "#5a3fa0", "uring-single": "#3f7f86",
           "epoll": "#2a9d6f",
           "epoll-tracked": "#5eb893", "epoll-off": "#93d1b6", "epoll-2": "#14573c",
           "epoll-reuse": "#9a86cf", "pgbouncer": "#d1662b",
           "pgbouncer-64k": "#e3a37f", "pgbouncer13": "#8a3f14", "pgbouncer13-0": "#b98a6d", "haproxy": "#8d8d8d",
           "direct": "#c9c9c9"}
assert COLOURS.keys() == poolers.ALL.keys()
WIDTH, LEFT, BAR, GAP, TOP = 860, 250, 13, 16, 64


def text(x, y, what, anchor="start", size=11, weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" ' \
        f'font-weight="{weight}">{escape(what)}</text>'


def frame(height, title, parts):
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" ' \
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif">\n' \
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>\n' \
        + text(12, 22, title, size=15, weight="bold") + "\n" + "\n".join(parts) + "\n</svg>\n"


def legend(keys):
    parts, x, y = [], 12, 44
    for key in (key for key in COLOURS if key in keys):
        name = poolers.ALL[key].title
        if x + 30 + 6.3 * len(name) > WIDTH:
            x, y = 12, y + 16
        parts += [f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{COLOURS[key]}"/>',
                  text(x + 14, y, name)]
        x += 30 + 6.3 * len(name)
    return parts, y + 20


def bars(title, founds, value, form):
    """A group of bars for each load."""
    found_values = [(found, [(key, value(found, key)) for key in found.keys]) for found in founds]
    found_values = [(found, [(key, v) for key, v in values if v]) for found, values in found_values]
    most = max((v for _, values in found_values for _, v in values), default=0)
    if most <= 0:
        return None
    parts, y = legend({key for _, values in found_values for key, _ in values})
    for found, values in found_values:
        parts.append(text(LEFT - 8, y + BAR * len(values) / 2 + 4, found.load.name, "end", 12))
        for key, v in values:
            width = (WIDTH - LEFT - 70) * v / most
            parts += [f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" '
                      f'fill="{COLOURS[key]}"/>', text(LEFT + width + 4, y + 9, form(v), size=10)]
            y += BAR
        y += GAP
    return frame(y, title, parts)


def scale_log(values, low, high):
    least, most = math.log10(min(values)), math.log10(max(values))
    span = max(most - least, 0.1)
    return lambda v: low + (high - low) * (math.log10(max(v, 10 ** least)) - least) / span


def lines(title, found, name):
    """A percentile over the offered part of the capacity, in ms, on a logarithmic scale."""
    series = {key: [(step["part"], found.middle(key, "steps", i, "groups", 0, name) / 1e3)
                    for i, step in enumerate(found.first()["steps"])] for key in found.keys}
    values = [v for points in series.values() for _, v in points if v > 0]
    if not values:
        return None
    parts, top = legend(found.keys)
    bottom, left, right = top + 300, 80, WIDTH - 30
    place = scale_log(values + [10 ** math.floor(math.log10(min(values)))], bottom, top)
    power = math.floor(math.log10(min(values)))
    while 10 ** power <= max(values):
        y = place(10 ** power)
        parts += [f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>',
                  text(left - 6, y + 4, f"{10 ** power:g} ms", "end")]
        power += 1
    for part, _ in series[found.keys[0]]:
        parts.append(text(left + (right - left) * part / 115, bottom + 18, f"{part} %", "middle"))
    for key, points in series.items():
        where = " ".join(f"{left + (right - left) * part / 115:.1f},{place(v):.1f}"
                         for part, v in points)
        parts.append(f'<polyline points="{where}" fill="none" stroke="{COLOURS[key]}" '
                     'stroke-width="2"/>')
    return frame(bottom + 34, title, parts)


def all_of(founds):
    """(title, file, SVG) of all that there are figures for."""
    rate = [f for f in founds if f.load.table == "rate" and f.load.group in ("core", "kinds", "tls",
                                                                             "unix", "fake")
            and f.load.name != "tpcb-40"]
    wanted = [
        ("CPU microseconds of the pooler per transaction", "cpu.svg", rate,
         lambda f, k: f.middle(k, "cpu"), "{:.1f}".format),
        ("Transactions per second, PgBouncer = 1", "rate.svg", rate,
         lambda f, k: f.ratio(k, "rate"), "{:.2f}".format),
        ("CPU seconds per GB", "bulk.svg",
         [f for f in founds if f.load.table == "bulk" and f.load.name != "result-1kb"],
         lambda f, k: f.middle(k, "cpu_gb"), "{:.2f}".format),
        ("Memory per idle client, kB", "idle.svg", [f for f in founds if f.load.table == "idle"],
         lambda f, k: f.middle(k, "rss_each") / 1e3, "{:.2f}".format),
    ]
    made = [(title, file, bars(title, those, value, form))
            for title, file, those, value, form in wanted if those]
    for found in founds:
        if found.load.table == "open":
            title = "p99 over the offered load, as a part of PgBouncer's capacity"
            made.append((title, "open.svg", lines(title, found, "p99")))
    return [one for one in made if one[2]]
