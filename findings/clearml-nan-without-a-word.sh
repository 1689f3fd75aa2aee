#!/usr/bin/env bash
# clearml 2.1.12, Python 3.11
#
# Behaviour: the SDK reports NaN and infinity as 0.0. The only trace is one line of its logger `clearml`, at level INFO.
# logging.config.dictConfig({"version": 1}) after Task.init takes that line away: Python then disables all existing
# loggers. Zero is reported as before.
#
# Why it matters: a diverged loss looks like a perfect one. Whoever looks for the line in the console of a task to find
# diverged runs misses each training that sets up its logging in the usual way. The absence of the line proves nothing.
#
# Output seen:
#   plain: values 2.0 0.0 0.0, lines about NaN or inf: 2
#   with dictConfig: values 2.0 0.0 0.0, lines about NaN or inf: 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml==2.1.12

# No settings of this user: they would name another server.
export HOME=$folder CLEARML_CONFIG_FILE=$folder/clearml.conf
echo 'sdk { development { report_use_subprocess: false, vcs_repo_detect_async: false } }' > clearml.conf

cat > train.py <<'EOF'
import json
import logging.config
import sys
from pathlib import Path

from clearml import Task

Task.set_offline(True)
task = Task.init(project_name="Project", task_name="diverged", auto_resource_monitoring=False)
if sys.argv[1] == "dictConfig":
    logging.config.dictConfig({"version": 1})
for iteration, value in enumerate([2.0, float("nan"), float("inf")]):
    task.get_logger().report_scalar("loss", "train", value, iteration)
folder = task.get_offline_mode_folder()
task.close()
events = [event for line in (folder / "metrics.jsonl").read_text().splitlines() for event in json.loads(line)]
values = {event["iter"]: event["value"] for event in events if event["metric"] == "loss"}
Path("values.txt").write_text(" ".join(str(values[iteration]) for iteration in sorted(values)))
EOF

status=0
check() { # what it is, the argument, the expected number of lines
  local values lines
  venv/bin/python train.py "$2" > console.txt 2>&1 || { cat console.txt >&2; exit 1; }
  values=$(cat values.txt)
  lines=$(grep -ciE '(nan|inf) value encountered' console.txt || true)
  echo "$1: values $values, lines about NaN or inf: $lines"
  [[ $values == '2.0 0.0 0.0' && $lines == "$3" ]] || { echo "expected: values 2.0 0.0 0.0, lines: $3" >&2; status=1; }
}
check 'plain' plain 2
check 'with dictConfig' dictConfig 0
exit "$status"
