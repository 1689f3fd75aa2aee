import os

from clearml import Task
from squares import make_squares
from ultralytics import YOLO

Task.init(project_name="digits", task_name="train")
model = YOLO("yolov8n.yaml")
# A relative project is a folder of the git checkout that the package is installed in, if there is one.
model.train(
    data=make_squares(), epochs=3, imgsz=64, batch=4, device="cpu", workers=0, plots=False, project=os.path.abspath("out"), name="train", amp=False
)
