"""Train a small network on scikit-learn's handwritten digits and report to ClearML.

By an agent     Task.init attaches to the task that the agent was given; the task's
                parameters (section Args) replace the defaults below.
By hand         python train_model.py --learning_rate 0.02  (needs ClearML credentials)
Without server  CLEARML_OFFLINE_MODE=1 python train_model.py
"""

import argparse
from collections.abc import Callable

import joblib
from clearml import Task
from clearml.config import config as clearml_config
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits


def main() -> None:
    # Report from a thread. By default the SDK forks a process for that while its own
    # threads are at work: now and then one of them is left waiting for ever, and the
    # training with it (seen with clearml 2.1.12 in runs by hand). Look for the code and
    # its packages before training instead of beside it, for the same reason: a script
    # that ends meanwhile has the SDK kill that thread, whatever lock it holds.
    development = clearml_config.get("development")
    development["report_use_subprocess"] = False
    development["vcs_repo_detect_async"] = False
    task = Task.init(
        project_name="clearml-ci-cd",
        task_name="train_model",
        reuse_last_task_id=False,
        auto_connect_frameworks={"joblib": False},  # the model is handed over below
    )
    args = parse_args()  # after Task.init, so that the task's parameters come first
    # One thread: sums are added up in the same order on every machine, so that the
    # same seed gives the same numbers.
    with threadpool_limits(limits=1):
        train(args, task)
    task.close()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a network on digits.")
    option = parser.add_argument
    positive = ("above 0", lambda value: value > 0)
    fraction = ("0 or more and below 1", lambda value: 0 <= value < 1)
    seed = ("from 0 to 4294967295", lambda value: 0 <= value < 2**32)
    option("--learning_rate", type=number(float, *positive), default=0.05)
    option("--momentum", type=number(float, *fraction), default=0.9)
    option("--weight_decay", type=number(float, *fraction), default=0.0001)
    option("--epochs", type=number(int, *positive), default=30)
    option("--hidden_units", type=number(int, *positive), default=64)
    option("--batch_size", type=number(int, *positive), default=32)
    option("--seed", type=number(int, *seed), default=1)
    return parser.parse_args()


def number(
    kind: type, wanted: str, allows: Callable[[float], bool]
) -> Callable[[str], float]:
    """Make an argparse type: a number of this kind that is as wanted, or is refused."""

    def parse(text: str) -> float:
        value = kind(text)
        if not allows(value):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    parse.__name__ = kind.__name__  # argparse and ClearML show it as the type's name
    return parse


def train(args: argparse.Namespace, task: Task) -> None:
    logger = task.get_logger()
    # The split does not depend on the seed: all runs meet the same 360 test images.
    images, digits = load_digits(return_X_y=True)
    images, test_images, digits, test_digits = train_test_split(
        images / 16, digits, test_size=0.2, stratify=digits, random_state=0
    )
    images, validation_images, digits, validation_digits = train_test_split(
        images, digits, test_size=0.25, stratify=digits, random_state=0
    )
    parts = {
        "train": (images, digits),
        "validation": (validation_images, validation_digits),
    }

    model = MLPClassifier(
        hidden_layer_sizes=(args.hidden_units,),
        solver="sgd",
        learning_rate_init=args.learning_rate,
        momentum=args.momentum,
        alpha=args.weight_decay,
        batch_size=min(args.batch_size, len(images)),
        random_state=args.seed,
    )
    for epoch in range(1, args.epochs + 1):
        model.partial_fit(images, digits, classes=range(10))  # raises if it diverges
        line = f"epoch {epoch}/{args.epochs}"
        for part, (part_images, part_digits) in parts.items():
            odds = model.predict_proba(part_images)
            loss = log_loss(part_digits, odds)
            accuracy = accuracy_score(part_digits, odds.argmax(axis=1))
            logger.report_scalar("loss", part, value=loss, iteration=epoch)
            logger.report_scalar("accuracy", part, value=accuracy, iteration=epoch)
            line += f" | {part} loss {loss:.4f} accuracy {accuracy:.4f}"
        print(line)

    predicted = model.predict(test_images)
    accuracy = accuracy_score(test_digits, predicted)
    logger.report_scalar(
        "test_accuracy", "accuracy", value=accuracy, iteration=args.epochs
    )
    logger.report_confusion_matrix(
        "confusion matrix",
        "test",
        matrix=confusion_matrix(test_digits, predicted),
        iteration=args.epochs,
        xaxis="predicted digit",
        yaxis="true digit",
        yaxis_reversed=True,
    )
    print(f"test accuracy {accuracy:.4f}")
    joblib.dump(model, "model.joblib")
    if not task.is_offline():  # there clearml 2.1.12 stumbles over its own stand-in
        # To the files server, unless the task or clearml.conf names another place.
        task.update_output_model("model.joblib", name="model", auto_delete_file=False)


if __name__ == "__main__":
    main()
