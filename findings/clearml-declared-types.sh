#!/usr/bin/env bash
# clearml 2.1.12, Python 3.11
#
# Behaviour: where an agent runs a task whose parameters were set before it started, the SDK writes the arguments that
# argparse declares and the task lacks, with type and description. In the same request every parameter that was set gets
# the type `str` and no description: one that is declared as float and one that no argument bears the name of alike. Where
# all arguments were set, it writes nothing.
#
# Why it matters: a type or a description in the task looks like a sign that the training has declared the parameter. For
# those that somebody set it is none, so a misspelt learning rate can't be told from a right one by its own entry.
#
# Output seen:
#   lr and lrr set: {"epochs": ["int", "how long"], "lr": ["str", ""], "lrr": ["str", ""]}
#   lr and epochs set: nothing is written
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
import base64
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SET = {name: {"section": "Args", "name": name, "value": "5"} for name in sys.argv[1:]}
del sys.argv[1:]
written = {}

# What a ClearML server answers, as far as one run of one task asks for it.
TASK = {
    "id": "a" * 32, "name": "remote run", "type": "training", "status": "in_progress", "project": "b" * 32,
    "script": {"entry_point": "train.py", "working_dir": ".", "requirements": {"pip": ""}},
    "execution": {"parameters": {}}, "hyperparams": {"Args": SET}, "models": {"input": [], "output": []},
}


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


TOKEN = part({"alg": "HS256"}) + "." + part({"exp": 4e9, "api_version": "2.34", "server_version": "2.3.0"}) + ".c2ln"
ANSWERS = {
    "auth.login": {"token": TOKEN},
    "tasks.get_by_id": {"task": TASK},
    "tasks.get_all": {"tasks": [TASK]},
    "projects.get_by_id": {"project": {"id": "b" * 32, "name": "Project"}},
    "events.add_batch": {"added": 1, "errors": 0},
}


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.rsplit("/", 1)[-1]
        if name == "tasks.edit":
            written.update(json.loads(body).get("hyperparams", {}).get("Args", {}))
        meta = {"result_code": 200, "result_subcode": 0, "result_msg": "OK", "endpoint": {"name": name}}
        reply = json.dumps({"meta": meta, "data": ANSWERS.get(name, {"updated": 1})}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_POST = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
os.environ.update(
    CLEARML_API_HOST=url, CLEARML_WEB_HOST=url, CLEARML_FILES_HOST=url,
    CLEARML_API_ACCESS_KEY="key", CLEARML_API_SECRET_KEY="secret",
)
# With this variable clearml-agent tells the SDK which task it runs.
os.environ["CLEARML_TASK_ID"] = TASK["id"]

from argparse import ArgumentParser

from clearml import Task

task = Task.init(project_name="Project", task_name="remote run", auto_resource_monitoring=False)
parser = ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=2, help="how long")
parser.parse_args()
task.close()
types = {name: [entry.get("type") or "", entry.get("description") or ""] for name, entry in sorted(written.items())}
print("WRITTEN", json.dumps(types) if types else "nothing is written", flush=True)
EOF

status=0
check() { # what is expected, the parameters that are set
  local seen
  seen=$(venv/bin/python train.py "${@:2}" 2> errors.txt | sed -n 's/^WRITTEN //p') || { cat errors.txt >&2; exit 1; }
  echo "$2 and $3 set: $seen"
  [[ $seen == "$1" ]] || { echo "expected: $1" >&2; status=1; }
}
check '{"epochs": ["int", "how long"], "lr": ["str", ""], "lrr": ["str", ""]}' lr lrr
check 'nothing is written' lr epochs
exit "$status"
