import argparse

from clearml import Task

from trained import tell, trained_with

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
Task.init(project_name="digits", task_name="train")
tell("initialised")
trained_with(**vars(args))
