import sys

import lightning
import torch
from clearml import Task
from lightning.pytorch import loggers

Task.init(project_name="digits", task_name="train")


class Model(lightning.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 2)

    def loss_of(self, batch):
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def training_step(self, batch, index):
        loss = self.loss_of(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("train/accuracy", 0.5, on_step=False, on_epoch=True)
        self.log("lr", self.hparams.lr)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss_of(batch))
        self.log("val_nan", torch.tensor(float("nan")))

    def test_step(self, batch, index):
        self.log("test_loss", self.loss_of(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


torch.manual_seed(0)
data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,)))
loader = torch.utils.data.DataLoader(data, batch_size=8)
trainer = lightning.Trainer(max_epochs=4, accelerator="cpu", log_every_n_steps=3, enable_progress_bar=False, logger=getattr(loggers, sys.argv[1])("out"))
model = Model()
trainer.fit(model, loader, loader)
trainer.test(model, loader)
