import fire
from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")


class Program:
    def train(self, lr=0.1, seed=0):
        trained_with(command="train", lr=lr, seed=seed)

    def evaluate(self):
        trained_with(command="evaluate")


fire.Fire(Program)
