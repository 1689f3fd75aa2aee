from clearml import Task
from clearml.automation import DiscreteParameterRange, GridSearch, HyperParameterOptimizer

task = Task.init(project_name="digits", task_name="search", task_type=Task.TaskTypes.optimizer)
base = Task.create(project_name="digits", task_name="train", script="optimizer-job.py", packages=[], detect_repository=False)
base.set_parameters({"General/lr": 0.1})
optimizer = HyperParameterOptimizer(
    base_task_id=base.id,
    hyper_parameters=[DiscreteParameterRange("General/lr", values=[0.2])],
    objective_metric_title="loss",
    objective_metric_series="train",
    objective_metric_sign="min",
    optimizer_class=GridSearch,
    max_number_of_concurrent_tasks=1,
    total_max_jobs=1,
    max_iteration_per_job=100,
    compute_time_limit=60,
    pool_period_min=0.02,
)
# It reports after 15 seconds, before which no job has ended, a period (in minutes) later, and at its end.
optimizer.set_report_period(1)
optimizer.start_locally()
optimizer.wait()
optimizer.stop()
