import fire
from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")


def train(lr=0.1, seed=0, flag=False, layers=(1, 2)):
    trained_with(lr=lr, seed=seed, flag=flag, layers=layers)


fire.Fire(train)
