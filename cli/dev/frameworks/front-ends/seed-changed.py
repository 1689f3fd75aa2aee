from clearml import Task

from trained import tell, trained_with

# The training uses another seed than it was given, and says so in the connected dict.
task = Task.init(project_name="digits", task_name="train")
tell("initialised")
params = task.connect({"lr": 0.1, "seed": 42})
tell("connected")
params["seed"] = 7
trained_with(**params)
