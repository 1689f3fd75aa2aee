import click
from clearml import Task

from trained import tell, trained_with


@click.command()
@click.option("--lr", type=float, default=0.1)
@click.option("--seed", type=int, default=0)
@click.option("--flag/--no-flag", default=False)
@click.option("--layers", multiple=True, type=int, default=[1, 2])
def main(lr, seed, flag, layers):
    Task.init(project_name="digits", task_name="train")
    tell("initialised")
    trained_with(lr=lr, seed=seed, flag=flag, layers=layers)


main()
