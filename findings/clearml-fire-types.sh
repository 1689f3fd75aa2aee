#!/usr/bin/env bash
# clearml 2.1.12, fire 0.7.1, Python 3.11
#
# Behaviour: where an agent runs a task, the SDK gives a function of Python Fire those parameters of the task only whose
# type is `fire.Arg.shared`, a name that it invents when it records a run by hand. A parameter without a type, or of type
# float, is ignored.
#
# Why it matters: a task that was made by the API or by clearml-task holds parameters without that type. It trains with
# the function's defaults and succeeds, and the task shows the values that were set. With argparse and click any type does.
#
# Output seen:
#   lr set without a type: {"lr": 0.1, "seed": 0}
#   lr set as float: {"lr": 0.1, "seed": 0}
#   lr set as fire.Arg.shared: {"lr": 0.5, "seed": 0}
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml==2.1.12 fire==0.7.1

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

TYPE = sys.argv.pop(1)
HYPERPARAMS = {"Args": {"lr": {"section": "Args", "name": "lr", "value": "0.5", **({"type": TYPE} if TYPE else {})}}}

# What a ClearML server answers, as far as one run of one task asks for it.
TASK = {
    "id": "a" * 32, "name": "remote run", "type": "training", "status": "in_progress", "project": "b" * 32,
    "script": {"entry_point": "train.py", "working_dir": ".", "requirements": {"pip": ""}},
    "execution": {"parameters": {}}, "hyperparams": HYPERPARAMS, "models": {"input": [], "output": []},
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
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.rsplit("/", 1)[-1]
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

import fire
from clearml import Task

Task.init(project_name="Project", task_name="remote run", auto_resource_monitoring=False)


def train(lr=0.1, seed=0):
    print("SEEN", json.dumps({"lr": lr, "seed": seed}), flush=True)


fire.Fire(train)
EOF

status=0
check() { # what it is, what is expected, the arguments
  local seen
  seen=$(venv/bin/python train.py "${@:3}" 2> errors.txt | sed -n 's/^SEEN //p') || { cat errors.txt >&2; exit 1; }
  echo "$1: $seen"
  [[ $seen == "$2" ]] || { echo "expected: $2" >&2; status=1; }
}
check 'lr set without a type' '{"lr": 0.1, "seed": 0}' ''
check 'lr set as float' '{"lr": 0.1, "seed": 0}' float
check 'lr set as fire.Arg.shared' '{"lr": 0.5, "seed": 0}' fire.Arg.shared
exit "$status"
