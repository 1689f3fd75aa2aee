import click


@click.command()
@click.option("--lr", type=float, default=0.1)
@click.option("--seed", type=int, default=0)
def main(**params):
    # Only now: once clearml is imported, an agent's click gives None for whatever is not among the params.
    from clearml import Task

    from trained import tell, trained_with

    task = Task.init(project_name="digits", task_name="train")
    tell("initialised")
    params = task.connect(params)
    trained_with(**params)


main()
