import argparse

from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")

parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command")
train = commands.add_parser("train")
train.add_argument("--lr", type=float, default=0.1)
train.add_argument("--seed", type=int, default=0)
evaluate = commands.add_parser("evaluate")
evaluate.add_argument("--checkpoint", default="best")
trained_with(**vars(parser.parse_args()))
