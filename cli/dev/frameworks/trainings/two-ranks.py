import torch
import torch.distributed
from clearml import Task

Task.init(project_name="digits", task_name="train")
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
logger = Task.current_task().get_logger()
for step in range(5):
    torch.distributed.all_reduce(torch.ones(1))
    logger.report_scalar("loss", "train", 1 / (step + 1) + rank, step)
logger.report_single_value("accuracy", 0.9 if rank == 0 else 0.1)
torch.distributed.barrier()
print("rank", rank, "is done", flush=True)
