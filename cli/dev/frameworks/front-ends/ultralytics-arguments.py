import os

from clearml import Task
from squares import make_squares
from ultralytics import YOLO

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")
model = YOLO("yolov8n.yaml")
# A relative project is a folder of the git checkout that the package is installed in, if there is one.
# Without a named optimizer lr0 is ignored.
model.train(
    data=make_squares(), epochs=1, imgsz=64, batch=4, device="cpu", workers=0, plots=False, project=os.path.abspath("out"), name="train", amp=False, optimizer="SGD"
)
trained_with(lr0=model.trainer.args.lr0, seed=model.trainer.args.seed, epochs=model.trainer.args.epochs)
