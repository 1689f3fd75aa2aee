from clearml import Task

Task.init(project_name="digits", task_name="train")
for step in range(10):
    Task.current_task().get_logger().report_scalar("val", "loss", float("nan"), step)
