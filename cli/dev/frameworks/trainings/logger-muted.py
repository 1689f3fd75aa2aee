import logging.config

from clearml import Task

Task.init(project_name="digits", task_name="train")
# Existing loggers are disabled by default: the SDK's note about NaN is lost.
logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}})
for step in range(10):
    Task.current_task().get_logger().report_scalar("val", "loss", float("nan"), step)
