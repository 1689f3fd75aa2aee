from dataclasses import dataclass

from clearml import Task

from trained import tell, trained_with

task = Task.init(project_name="digits", task_name="train")
tell("initialised")


@dataclass
class Model:
    width: int = 4
    activation: str = "relu"


params = {"lr": 0.1, "seed": 0, "flag": False, "nothing": None, "layers": [1, 2], "optimizer": {"name": "sgd", "momentum": 0.9}}
params = task.connect(params)
model = Model()
task.connect(model, name="Model")
trained_with(**params, width=model.width, activation=model.activation)
