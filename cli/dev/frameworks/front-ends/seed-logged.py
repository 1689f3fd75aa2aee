from clearml import Task

from trained import tell, trained_with

# No front end reads the seed; the training logs the one that it uses under the same name.
task = Task.init(project_name="digits", task_name="train")
tell("initialised")
task.set_parameters_as_dict({"Args": {"lr": 0.1, "seed": 42}})
trained_with(lr=0.1, seed=42)
