import numpy
import xgboost
from clearml import Task

Task.init(project_name="digits", task_name="train")
random = numpy.random.RandomState(0)
x = random.randn(100, 4)
y = (x[:, 0] > 0).astype(int)
train, valid = xgboost.DMatrix(x[:70], y[:70]), xgboost.DMatrix(x[70:], y[70:])
params = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc", "error"], "max_depth": 2}
xgboost.train(params, train, 8, evals=[(train, "train"), (valid, "valid")])
again = xgboost.XGBClassifier(n_estimators=5, eval_metric="logloss")
again.fit(x[:70], y[:70], eval_set=[(x[70:], y[70:])])
