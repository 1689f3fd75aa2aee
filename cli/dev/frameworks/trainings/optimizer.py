import os

from clearml import Task
from clearml.automation import DiscreteParameterRange, GridSearch, HyperParameterOptimizer

task = Task.init(project_name="digits", task_name="train", task_type=Task.TaskTypes.optimizer)
if "BASE_TASK" not in os.environ:
    raise SystemExit("BASE_TASK is the task to try values on")
optimizer = HyperParameterOptimizer(
    base_task_id=os.environ["BASE_TASK"],
    hyper_parameters=[DiscreteParameterRange("Args/lr", [0.1, 0.2])],
    objective_metric_title="loss",
    objective_metric_series="train",
    objective_metric_sign="min",
    optimizer_class=GridSearch,
    max_number_of_concurrent_tasks=1,
    execution_queue="default",
    total_max_jobs=2,
    pool_period_min=0.05,
)
optimizer.set_report_period(0.05)
optimizer.start()
optimizer.wait(timeout=0.5)
optimizer.stop()
