from absl import app, flags
from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")

FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 0.1, "the learning rate")
flags.DEFINE_integer("seed", 0, "")
flags.DEFINE_bool("flag", False, "")
flags.DEFINE_list("layers", ["1", "2"], "")


def main(_):
    trained_with(lr=FLAGS.lr, seed=FLAGS.seed, flag=FLAGS.flag, layers=FLAGS.layers)


app.run(main)
