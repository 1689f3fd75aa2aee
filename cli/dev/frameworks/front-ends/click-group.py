import click
from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")


@click.group()
def cli():
    pass


@cli.command()
@click.option("--lr", type=float, default=0.1)
@click.option("--seed", type=int, default=0)
def train(lr, seed):
    trained_with(command="train", lr=lr, seed=seed)


@cli.command()
def evaluate():
    trained_with(command="evaluate")


cli()
