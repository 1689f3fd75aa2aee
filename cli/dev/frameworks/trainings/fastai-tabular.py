import numpy
import pandas
from clearml import Task
from fastai.tabular.all import Normalize, TabularDataLoaders, accuracy, set_seed, tabular_learner

Task.init(project_name="digits", task_name="train")
set_seed(0)
table = pandas.DataFrame({"a": numpy.random.randn(100), "b": numpy.random.randn(100)})
table["y"] = (table.a > 0).astype(str)
loaders = TabularDataLoaders.from_df(table, y_names="y", cont_names=["a", "b"], procs=[Normalize], bs=16, num_workers=0)
tabular_learner(loaders, layers=[4], metrics=accuracy).fit_one_cycle(3)
