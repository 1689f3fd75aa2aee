import numpy
from catboost import CatBoostClassifier
from clearml import Task

Task.init(project_name="digits", task_name="train")
random = numpy.random.RandomState(0)
x = random.randn(100, 4)
y = (x[:, 0] > 0).astype(int)
model = CatBoostClassifier(iterations=8, eval_metric="AUC", custom_metric=["Logloss", "Accuracy"], verbose=2, thread_count=1, train_dir="out")
model.fit(x[:70], y[:70], eval_set=(x[70:], y[70:]))
