import typer
from clearml import Task

from trained import tell, trained_with


def main(lr: float = 0.1, seed: int = 0, flag: bool = False):
    Task.init(project_name="digits", task_name="train")
    tell("initialised")
    trained_with(lr=lr, seed=seed, flag=flag)


typer.run(main)
