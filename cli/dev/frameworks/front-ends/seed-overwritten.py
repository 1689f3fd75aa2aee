from clearml import Task

from trained import tell, trained_with

# As Transformers and Ultralytics do: what the code has wins, and is written over what the task was given.
task = Task.init(project_name="digits", task_name="train")
tell("initialised")
params = {"lr": 0.1, "seed": 42}
task.connect(params, ignore_remote_overrides=True)
trained_with(**params)
