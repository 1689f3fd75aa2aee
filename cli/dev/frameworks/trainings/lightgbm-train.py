import lightgbm
import numpy
from clearml import Task

Task.init(project_name="digits", task_name="train")
random = numpy.random.RandomState(0)
x = random.randn(100, 4)
y = (x[:, 0] > 0).astype(int)
train = lightgbm.Dataset(x[:70], y[:70])
valid = lightgbm.Dataset(x[70:], y[70:], reference=train)
params = {"objective": "binary", "metric": ["auc", "binary_logloss", "rmse"], "verbose": -1, "num_threads": 1}
lightgbm.train(params, train, 8, valid_sets=[train, valid], valid_names=["train", "valid"])
again = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)
again.fit(x[:70], y[:70], eval_set=[(x[70:], y[70:])])
