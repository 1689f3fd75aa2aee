import os

import numpy
from clearml import Task
from PIL import Image

for part in ("train", "val"):
    os.makedirs(f"data/images/{part}")
    os.makedirs(f"data/labels/{part}")
    for index in range(4):
        picture = numpy.zeros((64, 64, 3), numpy.uint8)
        picture[16:48, 16:48] = 255
        Image.fromarray(picture).save(f"data/images/{part}/{index}.png")
        with open(f"data/labels/{part}/{index}.txt", "w") as file:
            file.write("0 0.5 0.5 0.5 0.5\n")
with open("data/data.yaml", "w") as file:
    file.write(f"path: {os.path.abspath('data')}\ntrain: images/train\nval: images/val\nnames: [square]\n")
Task.init(project_name="digits", task_name="train")
from ultralytics import YOLO  # noqa: E402

YOLO("yolov8n.yaml").train(
    data="data/data.yaml", epochs=3, imgsz=64, batch=4, device="cpu", workers=0, plots=False, project=os.path.abspath("out"), amp=False
)
