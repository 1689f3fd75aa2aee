import torch
import torch.distributed
from clearml import Task

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
task = Task.init(project_name="digits", task_name="train") if rank == 0 else None
for step in range(5):
    torch.distributed.all_reduce(torch.ones(1))
    if task:
        task.get_logger().report_scalar("loss", "train", 1 / (step + 1), step)
torch.distributed.barrier()
