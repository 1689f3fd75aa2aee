import argparse

from clearml import Task

from trained import tell, trained_with

task = Task.init(project_name="digits", task_name="train", auto_connect_arg_parser=False)
tell("initialised")
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
trained_with(**vars(args))
