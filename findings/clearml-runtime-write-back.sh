#!/usr/bin/env bash
# clearml 2.1.12, Python 3.11
#
# Behaviour: `Task.set_progress` reads the task, and sends all of the task's `runtime` back with `tasks.edit`, its own key
# changed. What another client has written into `runtime` between the two requests is gone, although the server has
# `tasks.edit_runtime` (API 2.34), which sets single keys. `Task.init` (the machine's description), abort callbacks and
# datasets write the same way.
#
# Why it matters: whoever notes something in the `runtime` of a task that trains (a scheduler, CI, an autoscaler) loses the
# note at random, most likely while the training starts. Read it back, and note it again.
#
# Output seen:
#   after the note: {'note': 'from elsewhere'}
#   after set_progress: {'progress': '50'}
#   requests: tasks.get_by_id, tasks.edit
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml==2.1.12

# No settings of this user.
export HOME=$folder CLEARML_CONFIG_FILE=$folder/clearml.conf CLEARML_LOG_LEVEL=ERROR
unset CLEARML_TASK_ID CLEARML_PROC_MASTER_ID
touch clearml.conf
cat > progress.py <<'EOF'
import base64
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

ID = "1" * 32
task = {"id": ID, "name": "training", "type": "training", "status": "in_progress", "project": "2" * 32, "runtime": {}}
requests = []
is_watched = False


def part(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


TOKEN = ".".join([part({"alg": "HS256"}), part({"exp": 4102444800, "env": "", "api_version": "2.34"}), part("signature")])


def answer(endpoint, body):
    if endpoint == "auth.login":
        return {"token": TOKEN}
    if endpoint == "tasks.get_by_id":
        seen = json.loads(json.dumps(task))
        if is_watched:
            # Another client's tasks.edit_runtime, just after the SDK has read.
            task["runtime"]["note"] = "from elsewhere"
            print(f"after the note: {task['runtime']}")
        return {"task": seen}
    if endpoint == "tasks.edit":
        task.update({key: value for key, value in body.items() if key == "runtime"})
        return {"updated": 1, "fields": {}}
    return {"tasks": [task]} if endpoint.startswith("tasks.get_all") else {}


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        endpoint = self.path.split("?")[0].rsplit("/", 1)[-1]
        if is_watched:
            requests.append(endpoint)
        meta = {"id": "1", "result_code": 200, "result_subcode": 0, "result_msg": "OK", "endpoint": {}}
        content = json.dumps({"meta": meta, "data": answer(endpoint, body)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()
host = f"http://127.0.0.1:{server.server_address[1]}"
os.environ.update(
    CLEARML_API_HOST=host,
    CLEARML_WEB_HOST=host,
    CLEARML_FILES_HOST=host,
    CLEARML_API_ACCESS_KEY="key",
    CLEARML_API_SECRET_KEY="secret",
)

from clearml import Task  # noqa: E402

training = Task.get_task(task_id=ID)
is_watched = True
training.set_progress(50)
is_watched = False
print(f"after set_progress: {task['runtime']}")
print(f"requests: {', '.join(requests)}")
# Its threads may wait for the server.
os._exit(0)
EOF
timeout 90 venv/bin/python -u progress.py | tee output
diff output - <<'EOF'
after the note: {'note': 'from elsewhere'}
after set_progress: {'progress': '50'}
requests: tasks.get_by_id, tasks.edit
EOF
