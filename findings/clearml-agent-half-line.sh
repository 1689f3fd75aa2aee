#!/usr/bin/env bash
# clearml-agent 3.0.3, Python 3.11
#
# Behaviour: the agent looks at a training's output at intervals. Where it looks while a line is half written, it sends
# the half as a line of its own, line break added, and later the rest as another.
#
# Why it matters: whoever reads a task's log line by line (a metric printed as `accuracy=0.91`, a traceback, a marker of
# a launcher) now and then finds a line torn in two, at any character. A pattern that never failed by hand fails on an
# agent, the more often the slower a program writes. The log keeps no sign that tells an added line break from a real one.
#
# Output seen:
#   written: epoch 3 accuracy=0.91
#   sent: ['epoch 3 accu\n', 'racy=0.91\n']
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml-agent==3.0.3

# No settings of this user.
export HOME=$folder CLEARML_CONFIG_FILE=$folder/clearml.conf
touch clearml.conf
cat > agent.py <<'EOF'
import logging
import sys
from unittest.mock import Mock

from clearml_agent.commands.worker import Worker
from clearml_agent.helper.process import Argv

# One line, written in two parts with a pause, as a progress display does.
TRAINING = """
import sys, time
for part in ("epoch 3 accu", "racy=0.91\\n"):
    print(part, end="", flush=True)
    time.sleep(3)
"""
sent = []


def send_logs(task_id, lines, **_):
    sent.extend(lines)
    return len(lines)


# The agent without a server: only where it would send something is replaced.
agent = Worker.__new__(Worker)
agent._session, agent.log, agent.send_logs = Mock(), logging.getLogger("agent"), send_logs
agent._truncate_task_output_files = agent._services_mode = False
agent._suppress_cr, agent._task_ping_interval_sec, agent._polling_interval = True, 0, 0.5
status, _ = agent._log_command_output("task", Argv(sys.executable, "-c", TRAINING), stdout_path="output.txt")
assert status == 0, status
print("sent:", sent)
EOF

seen=$(venv/bin/python agent.py 2> errors.txt | grep '^sent: ') || { cat errors.txt >&2; exit 1; }
echo 'written: epoch 3 accuracy=0.91'
echo "$seen"
expected="sent: ['epoch 3 accu\\n', 'racy=0.91\\n']"
[[ $seen == "$expected" ]] || { echo "expected: $expected" >&2; exit 1; }
