import argparse

from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1, help="the learning rate")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--name", default="mlp")
parser.add_argument("--checkpoint")
parser.add_argument("--most", type=int)
parser.add_argument("--flag", action="store_true")
parser.add_argument("--no-augment", dest="augment", action="store_false")
parser.add_argument("--bool", type=bool, default=True)
parser.add_argument("--either", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--layers", nargs="+", type=int, default=[1, 2])
parser.add_argument("--names", nargs="*", default=[])
parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
trained_with(**vars(parser.parse_args()))
