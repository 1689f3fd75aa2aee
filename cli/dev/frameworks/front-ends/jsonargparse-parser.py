from jsonargparse import ArgumentParser
from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")

parser = ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--model.layers", type=list[int], default=[1, 2])
trained_with(**parser.parse_args().as_dict())
