import hydra
from omegaconf import OmegaConf

from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    trained_with(**OmegaConf.to_container(config))


main()
