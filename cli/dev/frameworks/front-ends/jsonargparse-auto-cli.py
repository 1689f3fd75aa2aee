from jsonargparse import auto_cli
from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")


def main(lr: float = 0.1, seed: int = 0):
    trained_with(lr=lr, seed=seed)


auto_cli(main)
