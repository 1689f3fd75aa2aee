import argparse

from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--seed", type=int)
trained_with(**vars(parser.parse_args()))
