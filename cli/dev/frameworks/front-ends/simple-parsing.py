from dataclasses import dataclass

from simple_parsing import ArgumentParser
from clearml import Task

from trained import tell, trained_with


Task.init(project_name="digits", task_name="train")
tell("initialised")


@dataclass
class Options:
    lr: float = 0.1
    seed: int = 0
    flag: bool = False


parser = ArgumentParser()
parser.add_arguments(Options, dest="options")
trained_with(**vars(parser.parse_args().options))
