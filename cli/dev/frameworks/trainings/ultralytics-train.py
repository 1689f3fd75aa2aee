from clearml import Task
from squares import make_squares
from ultralytics import YOLO

Task.init(project_name="digits", task_name="train")
model = YOLO("yolov8n.yaml")
model.train(
    data=make_squares(), epochs=3, imgsz=64, batch=4, device="cpu", workers=0, plots=False, project="out", name="train", amp=False
)
