import sys

import torch
from clearml import Task
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

Task.init(project_name="digits", task_name="train")


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        tokens = (torch.arange(8) + index) % 50
        return {"input_ids": tokens, "attention_mask": torch.ones(8, dtype=torch.long), "labels": torch.tensor(index % 2)}


size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
model = BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=16, **size))
# Named on the command line; without any it is the default.
report_to = {"report_to": sys.argv[1:]} if sys.argv[1:] else {}
arguments = TrainingArguments(
    "out", num_train_epochs=3, per_device_train_batch_size=8, logging_steps=2, eval_strategy="epoch", save_strategy="no", use_cpu=True, **report_to
)
trainer = Trainer(
    model=model, args=arguments, train_dataset=Data(), eval_dataset=Data(),
    compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())},
)
trainer.train()
trainer.evaluate()
trainer.predict(Data())
