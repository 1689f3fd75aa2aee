import sys

import numpy
import pandas
from clearml import Task
from fastai.callback.tensorboard import TensorBoardCallback
from fastai.tabular.all import Normalize, TabularDataLoaders, accuracy, set_seed, tabular_learner

Task.init(project_name="digits", task_name="train")
set_seed(0)
random = numpy.random.RandomState(0)
data = pandas.DataFrame({"a": random.randn(100), "b": random.randn(100)})
data["y"] = (data.a > 0).astype(str)
loaders = TabularDataLoaders.from_df(data, y_names="y", cont_names=["a", "b"], procs=[Normalize], bs=16, num_workers=0)
# With "tensorboard" on the command line also by fastai's own callback.
callbacks = [TensorBoardCallback("out", trace_model=False, log_preds=False)] if sys.argv[1:] else []
tabular_learner(loaders, layers=[4], metrics=accuracy).fit_one_cycle(3, cbs=callbacks)
