import torch
from clearml import Task
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        tokens = (torch.arange(8) + index) % 50
        return {"input_ids": tokens, "attention_mask": torch.ones(8, dtype=torch.long), "labels": torch.tensor(index % 2)}


size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
model = BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=16, **size))
arguments = TrainingArguments("out", num_train_epochs=1, save_strategy="no", use_cpu=True, report_to=["clearml"])
trainer = Trainer(model=model, args=arguments, train_dataset=Data())
trainer.train()
trained_with(learning_rate=trainer.args.learning_rate, seed=trainer.args.seed, epochs=trainer.args.num_train_epochs)
