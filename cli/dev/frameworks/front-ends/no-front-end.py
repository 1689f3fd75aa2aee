import sys

from clearml import Task

from trained import tell, trained_with

Task.init(project_name="digits", task_name="train")
tell("initialised")
trained_with(arguments=sys.argv[1:])
