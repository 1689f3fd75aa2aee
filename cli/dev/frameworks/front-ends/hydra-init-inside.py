import hydra
from omegaconf import OmegaConf

from clearml import Task

from trained import tell, trained_with


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    Task.init(project_name="digits", task_name="train")
    tell("initialised")
    trained_with(**OmegaConf.to_container(config))


main()
