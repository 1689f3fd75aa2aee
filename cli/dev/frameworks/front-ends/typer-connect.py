import typer
from clearml import Task

from trained import tell, trained_with


def main(lr: float = 0.1, seed: int = 0, flag: bool = False):
    params = {"lr": lr, "seed": seed, "flag": flag}
    params = Task.init(project_name="digits", task_name="train").connect(params)
    tell("initialised")
    trained_with(**params)


typer.run(main)
