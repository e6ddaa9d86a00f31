# SPDX-License-Identifier: ISC
"""What is shipped for Prometheus and Grafana asks for metrics that there are, and the
alerts fire when they should and not when they should not."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from support import needs
from support.router import Router

pytestmark = pytest.mark.router_only

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALERTS = ROOT / "packaging" / "prometheus" / "pgtandem-alerts.yml"
DASHBOARD = ROOT / "packaging" / "grafana" / "pgtandem.json"
NAME = re.compile(r"\b(?:pgtandem|process)_[a-z_]+")
LABEL = re.compile(r"\b(?:by|on) \(([a-z_, ]+)\)")


def families():
    """Names as a query has them, and their labels."""
    text = (ROOT / "include" / "metrics.def").read_text(encoding="utf-8")
    found = {}
    for name, kind, labels in re.findall(
            r'^METRIC\(\w+,\s*"(\w+)",\s*(\w+),\s*"\w*",\s*"([^"]*)"', text, re.M):
        end = {"COUNTER": "_total", "HISTOGRAM": "_bucket", "INFO": "_info"}.get(kind, "")
        found[name + end] = set(filter(None, labels.split(", ")))
    assert len(found) > 50
    return found


def expressions():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    of_panels = [target["expr"] for panel in dashboard["panels"]
                 for target in panel.get("targets", [])]
    of_alerts = re.findall(r"^        expr: (?:>-\n)?((?:.+\n)(?:          .+\n)*)",
                           ALERTS.read_text(encoding="utf-8"), re.M)
    assert len(of_panels) > 30 and len(of_alerts) > 10
    return of_panels + of_alerts


def test_they_ask_for_what_there_is():
    known = families()
    for text in expressions():
        names = NAME.findall(text)
        assert names, text
        for name in names:
            assert name in known, f"{name} in {text}"
        labels = {"instance", "job", "le"}.union(*(known[name] for name in names))
        for group in LABEL.findall(text):
            assert set(group.split(", ")) <= labels, text


def promtool(*words):
    done = subprocess.run([needs.program("promtool"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


SELECTOR = re.compile(r"\b((?:pgtandem|process)_[a-z_]+)\{([^}]*)\}")


def test_prometheus_understands_the_dashboard(tmp_path):
    """Each query, with what Grafana fills in; labels in its selectors are the metric's."""
    known = families()
    rules = "groups:\n  - name: dashboard\n    rules:\n"
    for i, text in enumerate(expressions()):
        for name, labels in SELECTOR.findall(text):
            for label in re.findall(r"(\w+)[=!]", labels):
                assert label in known[name] | {"instance", "job"}, f"{label} in {text}"
        text = text.replace("$__rate_interval", "5m").replace("$", "")
        rules += f"      - record: query{i}\n        expr: |\n          " + \
            " ".join(text.split()) + "\n"
    path = tmp_path / "dashboard.yml"
    path.write_text(rules, encoding="utf-8")
    promtool("check", "rules", str(path))


@pytest.mark.parametrize("unit_type", ["notify", "exec"])
def test_units_are_understood(tmp_path, unit_type):
    """By systemd itself, with what configure may fill in; no warning, no word unknown."""
    program = needs.program("systemd-analyze")
    text = (ROOT / "etc" / "pgtandem.service.in").read_text(encoding="utf-8")
    words = {"bindir": os.path.dirname(Router.program()), "sysconfdir": "/etc",
             "UNIT_TYPE": unit_type, "UNIT_HUP": "", "UNIT_WATCHDOG": "30s" if unit_type == "notify" else "0"}
    assert set(re.findall(r"@(\w+)@", text)) == set(words)
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    assert f"{words['bindir']}/pgtandem " in text
    unit, sockets = tmp_path / "pgtandem.service", tmp_path / "pgtandem.socket"
    unit.write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "packaging" / "pgtandem.socket", sockets)
    done = subprocess.run([program, "verify", "--man=no", str(unit), str(sockets)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    said = [line for line in done.stdout.splitlines() if str(tmp_path) in line or "pgtandem" in line]
    assert (done.returncode, said) == (0, []), done.stdout


def test_alerts_fire_in_time(tmp_path):
    """One workload below its floor with somebody waiting, one that has it all; a host that
    is down for a moment, and one that stays down."""
    share = 'job="j", instance="i", host="h", workload="{}"'

    def series(name, labels, values):
        return f"      - series: '{name}{{{labels}}}'\n        values: '{values}'\n"

    def states(workload, idle, leased):
        labels = share.format(workload)
        return series("pgtandem_budget_servers", labels + ', state="idle"', f"{idle}x9") + \
            series("pgtandem_budget_servers", labels + ', state="leased"', f"{leased}x9")

    text = f"rule_files: [ {ALERTS} ]\nevaluation_interval: 15s\ntests:\n" \
        "  - interval: 15s\n    input_series:\n"
    for workload, idle, leased in ("short", 0, 3), ("full", 1, 9):
        text += states(workload, idle, leased)
        for name, value in ("guaranteed", 10), ("waiting", 2), ("oldest_wait_seconds", 9):
            text += series(f"pgtandem_budget_{name}", share.format(workload), f"{value}x9")
    text += series("pgtandem_host_up", 'instance="i", host="blinks"', "1 0 1 1 1 1 1 1 1")
    text += series("pgtandem_host_up", 'instance="i", host="gone"', "1 0 0 0 0 0 0 0 0")
    # One that has gone, one that was never there, and somebody else's.
    for instance, told in ("here", "1x9"), ("dead", "1 0 1 stale"), ("others", "_x9"):
        text += series("up", f'job="j", instance="{instance}"', "1x9" if instance == "here" else "1 1 1 0x9")
        text += series("pgtandem_ready", f'job="j", instance="{instance}"', told)
    text += series("pgtandem_host_certificate_expiry_seconds", 'instance="i", host="h"', "1000000x300")
    # A reload that was put right at once, and one that was not; a pause that was forgotten.
    text += series("pgtandem_config_last_reload_successful", 'instance="mended"', "1 0 0 1 1 1 1 1 1")
    text += series("pgtandem_config_last_reload_successful", 'instance="left"', "1 0 0 0 0 0 0 0 0")
    text += series("pgtandem_held", 'instance="i", by="pause"', "1x70")
    text += series("pgtandem_held", 'instance="i", by="suspend"', "0x70")
    # Half of what each workload may have, and all of the process.
    for workload in "short", "full":
        text += series("pgtandem_clients", f'job="j", instance="i", workload="{workload}"', "50x70")
        text += series("pgtandem_clients_max", f'job="j", instance="i", workload="{workload}"', "100x70")
    text += series("pgtandem_process_clients_max", 'job="j", instance="i"', "100x70")
    # Two a second that break; as many that were unused for long are as they should be.
    for reason in "lost", "idle":
        text += series("pgtandem_server_closes_total", f'instance="i", host="h", reason="{reason}"',
                       "0+30x70")
    text += """    alert_rule_test:
      - eval_time: 90s
        alertname: PgtandemDown
        exp_alerts: []
      - eval_time: 2m
        alertname: PgtandemDown
        exp_alerts:
          - exp_labels: { severity: critical, job: j, instance: dead }
            exp_annotations:
              summary: "dead does not answer"
              description: "The process has ended, hangs, or is cut off: systemctl status and its log tell; start-failed has why it does not come up."
      - eval_time: 65m
        alertname: PgtandemHostCertificateExpires
        exp_alerts:
          - exp_labels: { severity: warning, instance: i, host: h }
            exp_annotations:
              summary: "The certificate that PostgreSQL at h is shown ends in 11d 12h 41m 40s"
              description: "Behind that it may let nobody in: replace the files and reload; SHOW TLS tells which certificate it is."
      - eval_time: 2m
        alertname: PgtandemReloadRefused
        exp_alerts:
          - exp_labels: { severity: warning, instance: left }
            exp_annotations:
              summary: "left has refused its configuration"
              description: "What was in force still is; a restart would fail. Its log (reload-failed) and pgtandem --check tell file and line."
      - eval_time: 6m
        alertname: PgtandemClientsNearlyFull
        exp_alerts: []
      - eval_time: 6m
        alertname: PgtandemAllClientsNearlyFull
        exp_alerts:
          - exp_labels: { severity: warning, job: j, instance: i }
            exp_annotations:
              summary: "i has over 90 % of the clients that process.max_client_conn allows"
              description: "All workloads together: SHOW WORKLOADS tells whose they are; beyond the limit logins are refused with 53300."
      - eval_time: 14m
        alertname: PgtandemHeld
        exp_alerts: []
      - eval_time: 9m
        alertname: PgtandemServersCloseOften
        exp_alerts: []
      - eval_time: 14m
        alertname: PgtandemServersCloseOften
        exp_alerts:
          - exp_labels: { severity: warning, instance: i, host: h, reason: lost }
            exp_annotations:
              summary: "Connections to PostgreSQL at h are closed all the time (lost)"
              description: "Each costs a login to PostgreSQL; docs/troubleshooting.md tells what the reason means and what helps."
      - eval_time: 16m
        alertname: PgtandemHeld
        exp_alerts:
          - exp_labels: { severity: warning, instance: i, by: pause }
            exp_annotations:
              summary: "i holds clients back: pause"
              description: "Given on the console and not taken back: SHOW STATE, and paused and disabled of SHOW DATABASES. RESUME, with the name that was given, or ENABLE ends it."
      - eval_time: 2m
        alertname: PgtandemFloorNotMet
        exp_alerts:
          - exp_labels: { severity: critical, job: j, instance: i, host: h, workload: short }
            exp_annotations:
              summary: "short has less than it is guaranteed at h"
              description: "Others hold what is borrowed: SHOW CLIENTS (stalled_ms) and SHOW PINS name them."
      - eval_time: 2m
        alertname: PgtandemHostDown
        exp_alerts:
          - exp_labels: { severity: critical, instance: i, host: gone }
            exp_annotations:
              summary: "PostgreSQL at gone cannot be reached"
              description: "SHOW HOSTS has the error and the address that was tried."
      - eval_time: 2m
        alertname: PgtandemWorkloadAtItsCeiling
        exp_alerts: []
"""
    path = tmp_path / "alerts-test.yml"
    path.write_text(text, encoding="utf-8")
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(path))
