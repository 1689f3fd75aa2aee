from clearml import Task

from trained import tell, trained_with

task = Task.init(project_name="digits", task_name="train")
tell("initialised")
trained_with(
    lr=task.get_parameter("Args/lr", 0.1, cast=True),
    seed=task.get_parameter("Args/seed", 0),
    flag=task.get_parameter("Args/flag", False, cast=True),
)
