from clearml import Task

from trained import tell, trained_with

# The training changes the seed that it was given. For an agent the connected dict is read-only: nothing changes.
task = Task.init(project_name="digits", task_name="train")
tell("initialised")
params = task.connect({"lr": 0.1, "seed": 42})
tell("connected")
params["seed"] = 9
trained_with(**params)
