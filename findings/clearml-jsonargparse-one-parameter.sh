#!/usr/bin/env bash
# clearml 2.1.12, jsonargparse 4.53.0 (the parser of LightningCLI), Python 3.11
#
# Behaviour: where an agent runs a task that sets one parameter, parse_args() gives that parameter alone. All other
# arguments are missing from the result, and the one that is there is text in place of its declared type. Where the
# task sets no parameter, all is as declared.
#
# Why it matters: whoever changes one learning rate in a task loses every other argument and default. The parser reports
# no error: what reads the result with a fallback, as LightningCLI does, trains with other values than the code declares.
#
# Output seen:
#   no parameter set: {"lr": 0.1, "seed": 0, "trainer": {"max_epochs": 2}}
#   lr set to 0.5: {"lr": "0.5"}
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml==2.1.12 jsonargparse==4.53.0

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

REMOTE = sys.argv.pop(1) == "remote"
HYPERPARAMS = (
    {"Args": {"lr": {"section": "Args", "name": "lr", "value": "0.5"}}} if sys.argv.pop(1) == "lr" else {}
)

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
if REMOTE:
    os.environ["CLEARML_TASK_ID"] = TASK["id"]

from clearml import Task
from jsonargparse import ArgumentParser

Task.init(project_name="Project", task_name="remote run", auto_resource_monitoring=False)
parser = ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--trainer.max_epochs", type=int, default=2)
print("ARGUMENTS", json.dumps(parser.parse_args().as_dict()), flush=True)
EOF

status=0
check() { # what it is, the expected arguments, the parameters that are set
  local seen
  seen=$(venv/bin/python train.py remote "$3" 2> errors.txt | sed -n 's/^ARGUMENTS //p') || { cat errors.txt >&2; exit 1; }
  echo "$1: $seen"
  [[ $seen == "$2" ]] || { echo "expected: $2" >&2; status=1; }
}
check 'no parameter set' '{"lr": 0.1, "seed": 0, "trainer": {"max_epochs": 2}}' none
check 'lr set to 0.5' '{"lr": "0.5"}' lr
exit "$status"
