# SPDX-License-Identifier: ISC
"""The raw figures of a load, over its rounds."""
import statistics


class Found:
    def __init__(self, load, record):
        self.load, self.record = load, record
        self.rounds = record["rounds"]
        self.failed = {key: result["error"] for results in self.rounds
                       for key, result in results.items() if "error" in result}
        there = {key for results in self.rounds for key, result in results.items()
                 if "error" not in result}
        self.keys = [key for key in load.poolers if key in there]
        self.base = load.base if load.base in there else None

    def results(self, key):
        return [r[key] for r in self.rounds if key in r and "error" not in r[key]]

    def first(self):
        return self.results(self.keys[0])[0]

    @staticmethod
    def of(result, path):
        for step in path:
            if isinstance(result, dict) and step not in result:
                return None
            result = result[step]
        return result

    def middle(self, key, *path):
        values = [self.of(result, path) for result in self.results(key)]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def ratios(self, key, *path, base=None):
        """To the base, within each round."""
        base, found = base or self.base, []
        for results in self.rounds:
            pair = [results.get(key, {}), results.get(base, {})]
            if any(not one or "error" in one for one in pair):
                continue
            mine, peer = (self.of(one, path) for one in pair)
            if mine and peer:
                found.append(mine / peer)
        return found

    def ratio(self, key, *path, base=None):
        found = self.ratios(key, *path, base=base)
        return statistics.median(found) if found else None
