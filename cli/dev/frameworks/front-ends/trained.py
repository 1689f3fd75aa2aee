import json
import os
import urllib.request


def tell(stage, **values):
    """Prints what the training has at this stage, and lets the recorder, where there is one, look at the task now."""
    print("TRAINED WITH" if stage == "trained" else stage, json.dumps(values, default=repr, sort_keys=True), flush=True)
    if "RECORDER_URL" in os.environ:
        urllib.request.urlopen(os.environ["RECORDER_URL"] + "/" + stage).read()


def trained_with(**values):
    """The training itself: one number of one metric."""
    from clearml import Task

    tell("trained", **values)
    Task.current_task().get_logger().report_scalar("loss", "train", 0.5, 0)
