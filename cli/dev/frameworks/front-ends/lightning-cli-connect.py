import lightning
import torch
from clearml import Task
from lightning.pytorch.cli import LightningCLI

from trained import tell, trained_with

# What is not in the section Args leaves LightningCLI's defaults as they are.
params = {"lr": 0.1, "seed": 1}
Task.init(project_name="digits", task_name="train").connect(params)
tell("initialised")


class Model(lightning.LightningModule):
    def __init__(self, lr: float = 0.1, width: int = 4):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 2)

    def training_step(self, batch, index):
        loss = torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=float(self.hparams.lr))


class Data(lightning.LightningDataModule):
    def __init__(self, batch: int = 8):
        super().__init__()
        self.batch = batch

    def train_dataloader(self):
        data = torch.utils.data.TensorDataset(torch.ones(64, 4), torch.arange(64) % 2)
        return torch.utils.data.DataLoader(data, batch_size=int(self.batch))


defaults = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, "log_every_n_steps": 1, "default_root_dir": "out"}
given = [f"--model.lr={params['lr']}", f"--seed_everything={params['seed']}"]
cli = LightningCLI(Model, Data, run=False, args=given, trainer_defaults=defaults)
trained_with(
    **cli.model.hparams, batch=cli.datamodule.batch, epochs=cli.trainer.max_epochs, seed=cli.config.get("seed_everything")
)
