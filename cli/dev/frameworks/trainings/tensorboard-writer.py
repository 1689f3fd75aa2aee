import sys
from importlib import import_module

from clearml import Task

# Before Task.init: the SDK does not see what import_module loads later.
SummaryWriter = import_module(sys.argv[1]).SummaryWriter

Task.init(project_name="digits", task_name="train")
with SummaryWriter("out") as writer:
    for step in range(6):
        writer.add_scalar("loss/train", 1 / (step + 1), step)
        writer.add_scalar("accuracy", step / 6, step)
        writer.add_scalar("a/b/c", step, step)
        writer.add_scalar("Train Loss", 1 / (step + 1), step)
        writer.add_scalar("val:loss x", step, step)
        writer.add_scalar("/lead/slash", step, step)
        writer.add_scalar("nostep/accuracy", step / 10)
        writer.add_scalars("both", {"train": 1 / (step + 1), "val": 2 / (step + 1)}, step)
    writer.add_scalar("nan/loss", 1.0, 0)
    writer.add_scalar("nan/loss", float("nan"), 1)
    writer.add_scalar("infinite/loss", float("inf"), 0)
    writer.add_hparams({"lr": 0.1}, {"hparam/accuracy": 0.5})
