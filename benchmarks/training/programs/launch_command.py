"""The same script as a step."""

import fairway as fw

fit = fw.command(["python", "launch.py"], name="fit", gang=fw.gang(replicas=2, framework="torch"), cache=False)


@fw.pipeline
def launch_command():
    fit()
