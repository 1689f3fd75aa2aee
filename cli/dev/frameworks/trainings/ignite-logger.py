import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers.clearml_logger import ClearMLLogger, global_step_from_engine
from ignite.metrics import Accuracy, Loss

logger = ClearMLLogger(project_name="digits", task_name="train")
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
loss = torch.nn.CrossEntropyLoss()
data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,)))
loader = torch.utils.data.DataLoader(data, batch_size=8)
trainer = create_supervised_trainer(model, optimizer, loss)
evaluator = create_supervised_evaluator(model, metrics={"accuracy": Accuracy(), "nll": Loss(loss)})
trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: evaluator.run(loader))
every = Events.ITERATION_COMPLETED(every=2)
logger.attach_output_handler(trainer, event_name=every, tag="training", output_transform=lambda value: {"loss": value})
logger.attach_output_handler(
    evaluator, event_name=Events.EPOCH_COMPLETED, tag="validation", metric_names="all", global_step_transform=global_step_from_engine(trainer)
)
logger.attach_opt_params_handler(trainer, event_name=every, optimizer=optimizer)
trainer.run(loader, max_epochs=3)
logger.close()
