#!/usr/bin/env bash
# clearml-agent 3.0.3, Python 3.11
#
# Behaviour: `clearml-agent daemon --queue NAME --create-queue` looks the queue up and creates it where it finds none.
# Where another agent has created it in between, the server refuses the second creation, and the agent ends with that
# error instead of listening to the queue that is there now. The error code says "already exists", which is what the
# option asks for.
#
# Why it matters: agents that are started together for a new queue (a Compose file with two replicas, a Slurm array, an
# autoscaler's first scale-up) come up one short, at random. Started again by hand it always works.
#
# Output seen:
#   first: listens to queue-1
#   second: APIError code 400/801: Value combination already exists (unique field already contains this value): name=gpu
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml-agent==3.0.3

# No settings of this user.
export HOME=$folder CLEARML_CONFIG_FILE=$folder/clearml.conf
touch clearml.conf
cat > agents.py <<'EOF'
import json
from threading import Barrier, Lock, Thread

import requests
from clearml_agent.commands.worker import Worker
from clearml_agent.errors import APIError

queues = []
lock = Lock()
# Both agents have looked before one of them creates.
looked = Barrier(2)


def refuse():
    """The answer of a clearml-server (API 2.34) to a second queue of the same name."""
    answer = requests.Response()
    answer.status_code = 400
    message = "Value combination already exists (unique field already contains this value): name=gpu"
    meta = {"id": "1", "result_code": 400, "result_subcode": 801, "result_msg": message}
    answer._content = json.dumps({"meta": meta, "data": {}}).encode()
    raise APIError(answer)


class Server:
    def send_api(self, request):
        with lock:
            if request.name in queues:
                refuse()
            queues.append(request.name)


def listen(name):
    agent = Worker.__new__(Worker)
    agent._session = Server()
    looks = []

    def resolve(queue, service, search_hidden):
        found = queue in queues
        looks.append(queue)
        if len(looks) == 1:
            looked.wait()
        if not found:
            raise ValueError("no such queue")
        return f"queue-{queues.index(queue) + 1}"

    agent._resolve_name = resolve
    try:
        (queue,) = agent._resolve_queue_names(["gpu"], create_if_missing=True)
        results.append(f"listens to {queue}")
    except APIError as error:
        results.append(f"APIError {str(error).removeprefix('APIError: ')}")


results = []
agents = [Thread(target=listen, args=(name,)) for name in ("first", "second")]
for agent in agents:
    agent.start()
for agent in agents:
    agent.join()
for name, result in zip(("first", "second"), sorted(results, key=lambda text: text.startswith("API"))):
    print(f"{name}: {result}")
EOF
seen=$(venv/bin/python agents.py)
echo "$seen"
[[ $seen == 'first: listens to queue-1'$'\n''second: APIError code 400/801: '*'name=gpu'* ]]
