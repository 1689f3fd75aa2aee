import time

from clearml import Task

params = Task.init(project_name="digits", task_name="train").connect({"lr": 0.1})
for step in range(5):
    Task.current_task().get_logger().report_scalar("loss", "train", params["lr"] / (step + 1), step)
# The optimizer's first report, after 15 seconds, finds it running.
time.sleep(20)
