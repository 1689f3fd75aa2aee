from pydantic_settings import BaseSettings, SettingsConfigDict
from clearml import Task

from trained import tell, trained_with


Task.init(project_name="digits", task_name="train")
tell("initialised")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(cli_parse_args=True)
    lr: float = 0.1
    seed: int = 0
    flag: bool = False


trained_with(**Settings().model_dump())
