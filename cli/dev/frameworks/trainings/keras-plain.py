import keras
import numpy
from clearml import Task

Task.init(project_name="digits", task_name="train")
keras.utils.set_random_seed(0)
x = numpy.random.randn(64, 4).astype("float32")
y = (x[:, 0] > 0).astype("int32")
model = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")])
model.fit(x, y, epochs=4, validation_split=0.25, callbacks=[], verbose=2)
