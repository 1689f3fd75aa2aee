#!/usr/bin/env bash
# clearml 2.1.12, absl-py 2.5.1, Python 3.11
#
# Behaviour: where an agent runs a task, the SDK sets the flags of absl to what the task's section TF_DEFINE says. For a
# flag made by DEFINE_list or DEFINE_multi_integer, the text `3,4` becomes the list of its characters, the comma among
# them, and the text `3` changes nothing. Only a JSON list arrives, and its numbers stay text where it holds text.
#
# Why it matters: `3,4` is what absl itself takes on the command line and shows in its help. Set in the task it trains a
# model of other sizes, or the default one. No message says so, and the task goes on to show what was set.
#
# Output seen:
#   nothing set: {"layers": ["8"], "seeds": [0]}
#   3,4 set: {"layers": ["3", ",", "4"], "seeds": ["3", ",", "4"]}
#   3 set: {"layers": ["8"], "seeds": [0]}
#   ["3", "4"] set: {"layers": ["3", "4"], "seeds": ["3", "4"]}
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml==2.1.12 absl-py==2.5.1

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

VALUE = sys.argv.pop(1)
SET = {name: {"section": "TF_DEFINE", "name": name, "value": VALUE} for name in ("layers", "seeds")}
HYPERPARAMS = {"TF_DEFINE": SET} if VALUE else {}

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

from absl import app, flags
from clearml import Task

flags.DEFINE_list("layers", ["8"], "sizes of the hidden layers")
flags.DEFINE_multi_integer("seeds", [0], "seeds")


def main(_):
    Task.init(project_name="Project", task_name="remote run", auto_resource_monitoring=False)
    print("SEEN", json.dumps({"layers": flags.FLAGS.layers, "seeds": flags.FLAGS.seeds}), flush=True)


app.run(main)
EOF

status=0
check() { # what it is, what is expected, the arguments
  local seen
  seen=$(venv/bin/python train.py "${@:3}" 2> errors.txt | sed -n 's/^SEEN //p') || { cat errors.txt >&2; exit 1; }
  echo "$1: $seen"
  [[ $seen == "$2" ]] || { echo "expected: $2" >&2; status=1; }
}
check 'nothing set' '{"layers": ["8"], "seeds": [0]}' ''
check '3,4 set' '{"layers": ["3", ",", "4"], "seeds": ["3", ",", "4"]}' '3,4'
check '3 set' '{"layers": ["8"], "seeds": [0]}' '3'
check '["3", "4"] set' '{"layers": ["3", "4"], "seeds": ["3", "4"]}' '["3", "4"]'
exit "$status"
